"""The versions in memory: found at start, answered by name, drained at the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidModel, ModelNotFound, ModelNotReady, NothingToServe
from ..repository.version_folder import VersionFolder, find_versions
from .model import LoadedModel

USUAL_DEFAULT = "convnet"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """A version that lies in the repository and is not served."""

    name: str
    version: str
    reason: str


class Registry:
    """Every version that answers, and every one that does not, with the reason.

    Args:
        repository: the model repository's folder.
        load: turns a version's folder into a model that answers, or raises InvalidModel.
        default_model: what a request without a name asks; None for `convnet`, else the first classifier.
        engine_timeout: seconds after which an engine that is at one batch is taken to hang.
        patience: seconds that one may take to come back when the server ends.

    Attributes:
        default_name: what is asked by a request that names no model.
    """

    def __init__(
        self,
        repository: Path,
        load: Callable[[VersionFolder], LoadedModel],
        default_model: str | None,
        *,
        engine_timeout: float,
        wait_per_row: float,
    ) -> None:
        self.repository = repository
        self._engine_timeout = engine_timeout
        self._wait_per_row = wait_per_row
        self._load = load
        self._default_model = default_model
        self._models: dict[str, dict[str, LoadedModel]] = {}
        self._draining = False
        self._closed = False
        self.failures: tuple[Failure, ...] = ()
        self.default_name = default_model or USUAL_DEFAULT

    def open(self) -> None:
        """Load every version of the repository.

        Raises:
            ConfigurationError: the repository cannot be read.
            NothingToServe: no version could be loaded.
        """
        failures = []
        for folder in find_versions(self.repository):
            try:
                model = self._load(folder)
            except InvalidModel as error:
                failures.append(Failure(folder.name, folder.version, str(error)))
            else:
                self._models.setdefault(folder.name, {})[folder.version] = model
                engine = model.engine
                logger.info(
                    "%s version %s is ready: %s, provider %s, %d intra-op threads, loaded in %.2f s",
                    *(folder.name, folder.version, engine.device, engine.provider, engine.threads),
                    model.load_seconds,
                )
        self.failures = tuple(failures)
        if not self._models:
            raise NothingToServe(_nothing_to_serve(self.repository, failures))
        self.default_name = self._default_model or self._first_choice()
        for failure in failures:
            logger.error("%s version %s is not served: %s", failure.name, failure.version, failure.reason)
        if self._default_model is not None and self._default_model not in self._models:
            logger.warning("the default model %r is not served", self._default_model)

    async def close(self) -> None:
        """Take no more requests, answer the admitted ones, and let go of every model."""
        self.stop()
        for model in self.models:
            await model.close(self._wait_per_row)

    def drain(self) -> None:
        """Say no to readiness probes while still answering, so that load balancers turn away first."""
        self._draining = True

    def stop(self) -> None:
        """Refuse every new request; what was admitted is still answered."""
        self._draining = self._closed = True
        for model in self.models:
            model.batcher.flush_now()

    @property
    def ready(self) -> bool:
        return bool(self._models) and not self._draining and not self.hanging

    @property
    def hanging(self) -> bool:
        """Whether some engine has been at one batch for longer than any may take."""
        return any(model.batcher.busy_seconds > self._engine_timeout for model in self.models)

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def models(self) -> Sequence[LoadedModel]:
        """Every version that answers, by name and version."""
        return [model for versions in self._models.values() for model in versions.values()]

    @property
    def names(self) -> Sequence[str]:
        """The models that answer, by name."""
        return list(self._models)

    def versions(self, name: str) -> Sequence[str]:
        """The versions of this name that answer, lowest first."""
        return list(self._models.get(name, {}))

    def _first_choice(self) -> str:
        classifiers = [name for name in self._models if self._highest(name).manifest.classifies]
        return USUAL_DEFAULT if USUAL_DEFAULT in classifiers else next(iter(classifiers), USUAL_DEFAULT)

    def _highest(self, name: str) -> LoadedModel:
        return next(reversed(self._models[name].values()))

    def resolve(self, name: str | None = None, version: str | None = None) -> LoadedModel:
        """The version of this name and number; without a number the highest, without a name the default.

        Raises:
            ModelNotFound: nothing of that name and number lies in the repository.
            ModelNotReady: it lies there but failed to load, or the server is shutting down.
        """
        if self._closed:
            raise ModelNotReady("the server is shutting down")
        wanted = self.default_name if name is None else name
        versions = self._models.get(wanted)
        if versions is not None:
            if version is None:
                return self._highest(wanted)
            if version in versions:
                return versions[version]
        self._explain_absence(wanted, version)
        if versions is None:
            raise self.unknown(wanted)
        raise ModelNotFound(f"{wanted} has no version {version!r}; there are {', '.join(versions)}")

    def unknown(self, name: str) -> ModelNotFound:
        """The error that says which models there are instead of this one."""
        return ModelNotFound(f"no model {name!r} is served; there are {', '.join(self._models)}")

    def resolve_named(self, names: Mapping[str, str]) -> LoadedModel:
        """The same for what a path names as `name` and `version`, or leaves out."""
        return self.resolve(names.get("name"), names.get("version"))

    def _explain_absence(self, name: str, version: str | None) -> None:
        for failure in self.failures:
            if failure.name == name and version in (None, failure.version):
                raise ModelNotReady(f"{name} version {failure.version} is not served: {failure.reason}")


def _nothing_to_serve(repository: Path, failures: Sequence[Failure]) -> str:
    if not failures:
        return f"nothing to serve: {repository} holds no <name>/<version>/ folder"
    reasons = "; ".join(f"{f.name} version {f.version}: {f.reason}" for f in failures)
    return f"nothing to serve: every version in {repository} failed to load: {reasons}"
