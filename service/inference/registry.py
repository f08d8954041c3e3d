"""The registry of served model versions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import InvalidModel, ModelNotFound, ModelNotReady, shown
from ..repository.model_config import STABLE
from ..system.printable import printable
from .model import LoadedModel

PREFERRED_DEFAULT = "convnet"
# Characters of the reason why a version is not served, parts of which may come from its files.
MAX_REASON = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """A version in the repository that is not served."""

    name: str
    version: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} version {self.version} is not served: {self.reason}"


def reason_of(error: Exception) -> str:
    """The reason why a version is not served: an expected error's sentence, or type and text of any other."""
    text = str(error) if isinstance(error, InvalidModel) else f"it cannot be loaded: {error!r}"
    return printable(text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]} …")


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The versions of a model that are served, as an immutable whole.

    Attributes:
        versions: by number, in ascending order.
        labels: numbers by label.
        default: the version of requests that name none; None if there ought to be one that is not served.
        by_key: versions by number and by label.
        awaited: numbers by label of versions that cannot be served, or not yet.
    """

    name: str
    versions: dict[str, LoadedModel]
    labels: Mapping[str, str]
    default: LoadedModel | None
    by_key: Mapping[str, LoadedModel]
    awaited: Mapping[str, str]

    @property
    def highest(self) -> LoadedModel:
        return self.versions[next(reversed(self.versions))]

    @classmethod
    def of(
        cls,
        models: Sequence[LoadedModel],
        labels: Mapping[str, str] | None = None,
        awaited: Mapping[str, str] | None = None,
    ) -> ServedModel:
        """
        Args:
            models: at least one version, in ascending order.
        """
        labels, awaited = labels or {}, awaited or {}
        versions = {model.version: model for model in models}
        labelled = {label: versions[version] for label, version in labels.items()}
        default = None if STABLE in awaited else models[-1]
        return cls(
            models[0].name,
            versions,
            labels,
            labelled.get(STABLE, default),
            {**versions, **labelled},
            {label: version for label, version in awaited.items() if label not in labels},
        )


class Registry:
    """Resolves names, versions and labels to loaded models.

    `replace` swaps the versions of a model as a whole, between two steps of the event loop.

    Args:
        default_model: the model of requests that do not name one; None selects `convnet` if it is served, and
            otherwise the first classifier.
        engine_timeout: seconds that an engine may spend on one batch before it counts as hanging.
        drain_timeout: seconds after `stop` for finishing the admitted requests at shutdown.

    Attributes:
        failures: the versions that ought to be served and are not.
        problems: the reasons why changes on disk have no effect, by model, or by "" for all models.
        default_name: the model of requests that do not name one.
        on_replaced: called after each change of what is served.
    """

    def __init__(self, default_model: str | None, *, engine_timeout: float, drain_timeout: float) -> None:
        self._engine_timeout = engine_timeout
        self._drain_timeout = drain_timeout
        self._default_model = default_model
        self._models: Mapping[str, ServedModel] = {}
        self._draining = False
        self._closed = False
        self._stopped_at = 0.0
        self.failures: tuple[LoadFailure, ...] = ()
        self.problems: Mapping[str, str] = {}
        self.default_name = default_model or PREFERRED_DEFAULT
        self.on_replaced: Callable[[], None] = lambda: None

    def replace(self, name: str, served: ServedModel | None) -> None:
        """Serve these versions of a model from now on; None to serve none."""
        models = {each: model for each, model in self._models.items() if each != name}
        if served is not None:
            models[name] = served
        self._models = dict(sorted(models.items()))
        self.default_name = self._default_model or self._choose_default()
        self.on_replaced()

    def served(self, name: str) -> ServedModel | None:
        """A model if it is served."""
        return self._models.get(name)

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
        """All served versions, sorted by name and version."""
        return [model for served in self._models.values() for model in served.versions.values()]

    @property
    def names(self) -> Sequence[str]:
        """The sorted names of the served models."""
        return list(self._models)

    def versions(self, name: str) -> Sequence[str]:
        """The served versions of a model, lowest first; empty for an unknown name."""
        served = self._models.get(name)
        return [] if served is None else list(served.versions)

    def labels(self, name: str) -> Mapping[str, str]:
        """The versions of a model by label; empty for an unknown name."""
        served = self._models.get(name)
        return {} if served is None else served.labels

    def _choose_default(self) -> str:
        classifiers = [name for name, served in self._models.items() if served.highest.manifest.classifies]
        return (
            PREFERRED_DEFAULT
            if PREFERRED_DEFAULT in classifiers
            else next(iter(classifiers), PREFERRED_DEFAULT)
        )

    def resolve(self, name: str | None = None, version: str | None = None) -> LoadedModel:
        """The served model of this name and version.

        Args:
            name: None for the default model.
            version: a number, or a label; None for the version labelled `stable`, or else the highest.

        Raises:
            ModelNotFound: the repository has no such model or version.
            ModelNotReady: the version could not be loaded, or the server is shutting down.
        """
        if self._closed:
            raise ModelNotReady("the server is shutting down")
        wanted = self.default_name if name is None else name
        served = self._models.get(wanted)
        if served is not None:
            model = served.default if version is None else served.by_key.get(version)
            if model is not None:
                return model
        if served is None:
            self._check_failures(wanted, version)
            raise self.not_found(wanted)
        if version is not None:
            self._check_failures(wanted, version)
        label = STABLE if version is None else version
        if label in served.awaited:
            self._check_failures(wanted, served.awaited[label])
            raise ModelNotReady(
                f"{wanted} version {served.awaited[label]}, which has the label {label!r}, is not served"
            )
        known = ", ".join([*served.versions, *served.labels])
        raise ModelNotFound(f"{wanted} has no version {shown(version)}; available: {known}")

    def resolve_label(self, name: str, label: str) -> LoadedModel:
        """The served version of a model that has a label.

        Raises:
            ModelNotFound: there is no such model or label.
            ModelNotReady: as `resolve`.
        """
        served = self._models.get(name)
        if not self._closed and served is not None and label not in {**served.labels, **served.awaited}:
            known = ", ".join(self.labels(name)) or "none"
            raise ModelNotFound(f"{name} has no version labelled {shown(label)}; labels: {known}")
        return self.resolve(name, label)

    def not_found(self, name: str) -> ModelNotFound:
        """The error for an unknown name; its message lists the served models."""
        return ModelNotFound(f"no model {shown(name)} is served; available: {', '.join(self._models)}")

    def resolve_named(self, names: Mapping[str, str]) -> LoadedModel:
        """`resolve` for the optional path parameters `name`, and `version` or `label`."""
        if "label" in names:
            return self.resolve_label(names["name"], names["label"])
        return self.resolve(names.get("name"), names.get("version"))

    def _check_failures(self, name: str, version: str | None) -> None:
        for failure in self.failures:
            if failure.name == name and version in (None, failure.version):
                raise ModelNotReady(str(failure))
