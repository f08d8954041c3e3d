"""The registry of loaded model versions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError, InvalidModel, ModelNotFound, ModelNotReady, NothingToServe, shown
from ..repository.version_folder import VersionFolder, find_versions
from ..system.printable import printable
from .model import LoadedModel

PREFERRED_DEFAULT = "convnet"
# Characters of the reason why a version is not served, parts of which may come from its files.
MAX_REASON = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """A version in the repository that could not be loaded."""

    name: str
    version: str
    reason: str


class Registry:
    """Resolves names and versions to loaded models.

    Args:
        repository: the model repository's folder.
        load: loads the version in a folder, or raises InvalidModel.
        default_model: the model of requests that do not name one; None selects `convnet` if it is served, and
            otherwise the first classifier.
        engine_timeout: seconds that an engine may spend on one batch before it counts as hanging.
        drain_timeout: seconds after `stop` for finishing the admitted requests at shutdown.

    Attributes:
        failures: the versions that could not be loaded.
        default_name: the model of requests that do not name one.
    """

    def __init__(
        self,
        repository: Path,
        load: Callable[[VersionFolder], LoadedModel],
        default_model: str | None,
        *,
        engine_timeout: float,
        drain_timeout: float,
    ) -> None:
        self.repository = repository
        self._engine_timeout = engine_timeout
        self._drain_timeout = drain_timeout
        self._load = load
        self._default_model = default_model
        self._models: dict[str, dict[str, LoadedModel]] = {}
        self._draining = False
        self._closed = False
        self._stopped_at = 0.0
        self.failures: tuple[LoadFailure, ...] = ()
        self.default_name = default_model or PREFERRED_DEFAULT

    def open(self) -> None:
        """Load every version of the repository.

        Raises:
            ConfigurationError: the repository cannot be read, or does not contain the default model.
            NothingToServe: no version could be loaded.
        """
        folders = list(find_versions(self.repository))
        self._check_default({folder.name: None for folder in folders})
        failures = []
        for folder in folders:
            try:
                model = self._load(folder)
            except ConfigurationError:
                raise
            except Exception as error:  # also MemoryError, RecursionError, OverflowError
                failures.append(LoadFailure(folder.name, folder.version, _reason(error)))
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
        self.default_name = self._default_model or self._choose_default()
        for failure in failures:
            logger.error("%s version %s is not served: %s", failure.name, failure.version, failure.reason)
        if self.default_failure is not None:
            logger.error("not ready: the default model %r is not served", self._default_model)

    async def close(self) -> None:
        """Reject new requests, finish the admitted ones and close every model."""
        self.stop()
        left = max(1.0, self._stopped_at + self._drain_timeout - time.monotonic())
        await asyncio.gather(*(model.close(left) for model in self.models))

    def drain(self) -> None:
        """Fail readiness probes but keep serving, so that load balancers stop sending requests."""
        self._draining = True

    def stop(self) -> None:
        """Reject new requests; the admitted ones are still processed."""
        if not self._closed:
            self._stopped_at = time.monotonic()
        self._draining = self._closed = True
        for model in self.models:
            model.batcher.flush_now()

    @property
    def ready(self) -> bool:
        return bool(self._models) and not self._draining and not self.hanging and not self.default_failure

    @property
    def default_failure(self) -> LoadFailure | None:
        """The failure of the configured default model, if none of its versions could be loaded."""
        if self._default_model is None or self._default_model in self._models:
            return None
        return next((each for each in reversed(self.failures) if each.name == self._default_model), None)

    @property
    def hanging(self) -> bool:
        """True if an engine has spent more than `engine_timeout` on its current batch."""
        return any(model.batcher.busy_seconds > self._engine_timeout for model in self.models)

    def shrink_idle(self) -> None:
        """Return the memory of idle models' large batches; to be called once a second."""
        for model in self.models:
            model.idle_arena.check()

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def models(self) -> Sequence[LoadedModel]:
        """All loaded versions, sorted by name and version."""
        return [model for versions in self._models.values() for model in versions.values()]

    @property
    def names(self) -> Sequence[str]:
        """The sorted names of the loaded models."""
        return list(self._models)

    def versions(self, name: str) -> Sequence[str]:
        """The loaded versions of a model, lowest first; empty for an unknown name."""
        return list(self._models.get(name, {}))

    def _check_default(self, names: Collection[str]) -> None:
        if self._default_model is not None and names and self._default_model not in names:
            raise ConfigurationError(
                f"the default model {self._default_model!r} is not in {self.repository}; "
                f"available: {', '.join(names)}"
            )

    def _choose_default(self) -> str:
        classifiers = [name for name in self._models if self._highest(name).manifest.classifies]
        return (
            PREFERRED_DEFAULT
            if PREFERRED_DEFAULT in classifiers
            else next(iter(classifiers), PREFERRED_DEFAULT)
        )

    def _highest(self, name: str) -> LoadedModel:
        return next(reversed(self._models[name].values()))

    def resolve(self, name: str | None = None, version: str | None = None) -> LoadedModel:
        """The loaded model of this name and version; the default model and its highest version if None.

        Raises:
            ModelNotFound: the repository has no such model or version.
            ModelNotReady: the version could not be loaded, or the server is shutting down.
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
        self._check_failures(wanted, version)
        if versions is None:
            raise self.not_found(wanted)
        raise ModelNotFound(f"{wanted} has no version {shown(version)}; available: {', '.join(versions)}")

    def not_found(self, name: str) -> ModelNotFound:
        """The error for an unknown name; its message lists the served models."""
        return ModelNotFound(f"no model {shown(name)} is served; available: {', '.join(self._models)}")

    def resolve_named(self, names: Mapping[str, str]) -> LoadedModel:
        """`resolve` for the optional path parameters `name` and `version`."""
        return self.resolve(names.get("name"), names.get("version"))

    def _check_failures(self, name: str, version: str | None) -> None:
        for failure in self.failures:
            if failure.name == name and version in (None, failure.version):
                raise ModelNotReady(f"{name} version {failure.version} is not served: {failure.reason}")


def _reason(error: Exception) -> str:
    """The sentence of an expected error, or type and text of any other."""
    text = str(error) if isinstance(error, InvalidModel) else f"it cannot be loaded: {error!r}"
    return printable(text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]} …")


def _nothing_to_serve(repository: Path, failures: Sequence[LoadFailure]) -> str:
    if not failures:
        return f"nothing to serve: {repository} contains no <name>/<version>/ folder"
    reasons = "; ".join(f"{f.name} version {f.version}: {f.reason}" for f in failures)
    return f"nothing to serve: every version in {repository} failed to load: {reasons}"
