"""The served versions of models, and why others are not: plain data that processes send to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..repository.model_config import DEFAULT_CONFIG, ModelConfig

# The problem of a model that a call has unloaded.
UNLOADED = "it was unloaded by a call"


@dataclass(frozen=True, slots=True)
class Target:
    """A version to load.

    Attributes:
        path: its folder.
        digest: of its files; None for whatever lies there.
    """

    name: str
    version: str
    path: str
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A version that was loaded.

    Attributes:
        signature: of its folder just before.
        digest: of its files.
    """

    version: str
    path: str
    signature: str
    digest: str


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """The versions of a model that every worker serves.

    Attributes:
        generation: the number of the change that brought this plan.
        versions: what is served, in ascending order.
        labels: versions by label, of which each is served.
        config: the model's configuration.
    """

    name: str
    generation: int
    versions: tuple[Loaded, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    config: ModelConfig = DEFAULT_CONFIG

    def served(self, version: str) -> Loaded | None:
        """The version if it is served."""
        return next((each for each in self.versions if each.version == version), None)


@dataclass(frozen=True, slots=True)
class Failure:
    """A version that is not served.

    Attributes:
        signature: of its folder just before it was read; empty if that is unknown.
        digest: of its files; None if they were not read, or changed meanwhile.
    """

    name: str
    version: str
    reason: str
    signature: str = ""
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class ModelReport:
    """The condition of a model, beside its plan.

    Attributes:
        failures: the versions that ought to be served.
        problem: the reason why a change on disk has no effect, one sentence; None if there is no such change.
    """

    name: str
    failures: tuple[Failure, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """All that a worker needs to serve the same as the others.

    Attributes:
        generation: the number of the last change.
        problem: the reason why the repository cannot be read; None if it can.
    """

    generation: int = 0
    plans: Mapping[str, ModelPlan] = field(default_factory=dict)
    reports: Mapping[str, ModelReport] = field(default_factory=dict)
    problem: str | None = None
