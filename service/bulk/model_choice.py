"""Loads the one model that a command needs, which the server would choose too."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ..config.settings import Settings
from ..errors import ConfigurationError, InvalidModel, ModelNotFound, ModelNotReady, NothingToServe, shown
from ..inference.classifier import check_classifies
from ..inference.model import LoadedModel
from ..inference.registry import PREFERRED_DEFAULT, LoadFailure, reason_of
from ..lifecycle.desired import desired
from ..lifecycle.reports import nothing_to_serve
from ..repository.model_config import STABLE
from ..repository.scan import UNKNOWN, ModelFound, RepositoryScan, VersionFound
from ..repository.version_folder import VersionFolder
from .rows import Query

logger = logging.getLogger(__name__)


def choose_model(
    settings: Settings, query: Query, load: Callable[[VersionFolder], LoadedModel]
) -> LoadedModel:
    """Load the model of the query and no other.

    Without a version it is the one labelled `stable`, or else the highest of those to serve that can be
    loaded; errors of higher ones are logged.

    Raises:
        ConfigurationError: the repository cannot be read, or does not contain the default model.
        NothingToServe: no version of any model can be loaded.
        ModelNotFound: the repository has no such model or version.
        ModelNotReady: the model exists and cannot be loaded.
        NotAClassifier: the model returns feature maps.
    """
    models = RepositoryScan(settings.models).models(trust=True)
    if not models:
        raise NothingToServe(nothing_to_serve(str(settings.models), ()))
    name = settings.default_model if query.model is None else query.model
    failures: list[LoadFailure] = []
    for found, version in _candidates(settings, query, name, models):
        try:
            model = _load(found, version, load)
        except ConfigurationError:
            raise
        except Exception as error:  # also MemoryError, RecursionError, OverflowError
            failures.append(LoadFailure(found.name, version.version, reason_of(error)))
            logger.error("%s", failures[-1])
        else:
            if name is not None or model.manifest.classifies:
                check_classifies(model)
                return model
    if not failures:
        raise ModelNotFound(f"no model in {settings.models} is a classifier")
    if name is None:
        raise NothingToServe(nothing_to_serve(str(settings.models), failures))
    raise ModelNotReady(str(failures[0]))


def _load(
    found: ModelFound, version: VersionFound, load: Callable[[VersionFolder], LoadedModel]
) -> LoadedModel:
    if version.refused is not None:
        raise InvalidModel(version.refused)
    return load(VersionFolder(found.name, version.version, Path(version.path)))


def _candidates(
    settings: Settings, query: Query, name: str | None, models: Mapping[str, ModelFound]
) -> Iterator[tuple[ModelFound, VersionFound]]:
    """The versions to try in turn."""
    if name is not None and name not in models:
        available = ", ".join(models)
        if query.model is None:
            raise ConfigurationError(
                f"the default model {name!r} is not in {settings.models}; available: {available}"
            )
        raise ModelNotFound(f"no model {shown(name)} is served; available: {available}")
    names = sorted(models, key=lambda each: (each != PREFERRED_DEFAULT, each))
    for each in names if name is None else (name,):
        found = models[each]
        if reason := found.error or found.config_error:
            yield found, VersionFound(UNKNOWN, "", "", settled=True, refused=reason)
        elif query.version is None:
            yield from ((found, choice) for choice in _by_default(found))
        else:
            yield found, _version(found, query.version)


def _by_default(found: ModelFound) -> Iterator[VersionFound]:
    """The versions that a request may get which names none; each as if those before it had failed."""
    stable = found.config.labels.get(STABLE)
    if stable is not None:
        yield _version(found, str(stable))
        return
    failed: set[str] = set()
    while goal := desired(found, None, failed=failed):
        yield _version(found, goal.versions[-1])
        failed.add(goal.versions[-1])


def _version(found: ModelFound, key: str) -> VersionFound:
    """The version with a number or a label, which need not be served."""
    number = str(found.config.labels.get(key, key))
    for each in found.versions:
        if each.version == number:
            return each
    known = ", ".join([*(each.version for each in found.versions), *found.config.labels])
    raise ModelNotFound(f"{found.name} has no version {shown(key)}; available: {known}")
