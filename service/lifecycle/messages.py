"""The messages between the coordinator and the workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ..errors import ConvserveError
from ..repository.scan import ModelFound
from .plans import Failure, Loaded, ModelPlan, ModelReport, State, Target


class Action(StrEnum):
    """The actions that a client of the repository extension may request for a model."""

    LOAD = "load"
    UNLOAD = "unload"


# From the coordinator to a worker.


@dataclass(frozen=True, slots=True)
class Prepare:
    """Load a version, and serve it only after `Commit`."""

    generation: int
    target: Target


@dataclass(frozen=True, slots=True)
class Commit:
    """Serve a model according to a plan from now on; None for no version of it."""

    generation: int
    name: str
    plan: ModelPlan | None


@dataclass(frozen=True, slots=True)
class Abort:
    """Drop what was prepared."""

    generation: int


@dataclass(frozen=True, slots=True)
class Scan:
    """Look at the repository, and at each change of it from now on.

    Attributes:
        number: repeated in the answer.
        name: the only model to look at, whose files are complete; None for all models.
        trust: take what lies there for complete.
    """

    number: int
    name: str | None = None
    trust: bool = False


@dataclass(frozen=True, slots=True)
class Watch:
    """Look at the repository when it changes, but not now."""


@dataclass(frozen=True, slots=True)
class Report:
    """The condition of a model."""

    report: ModelReport


@dataclass(frozen=True, slots=True)
class RepositoryProblem:
    """The reason why the repository cannot be read; None if it can be."""

    problem: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a call; an error if it failed."""

    number: int
    error: ConvserveError | None


@dataclass(frozen=True, slots=True)
class Sync:
    """Load what the state names, and drop the rest; the answer is `Joined`."""

    state: State


@dataclass(frozen=True, slots=True)
class Go:
    """Begin to listen, or end because of the error."""

    error: ConvserveError | None = None


ToWorker = Prepare | Commit | Abort | Scan | Watch | Report | RepositoryProblem | Answer | Sync | Go


# From a worker to the coordinator.


@dataclass(frozen=True, slots=True)
class Joined:
    """The worker serves the state of a generation, except for what could not be loaded."""

    generation: int
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    generation: int
    loaded: Loaded


@dataclass(frozen=True, slots=True)
class PrepareFailed:
    """
    Attributes:
        fatal: no version can be loaded on this machine.
    """

    generation: int
    failure: Failure
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    generation: int


@dataclass(frozen=True, slots=True)
class Found:
    """Models that have changed on disk.

    Attributes:
        number: of the scan that this completes; None for a look by itself.
        models: by name; None for one that is gone.
        digests: of the files of versions that are served, or have failed, and whose files were touched.
        problem: the reason why the repository cannot be read.
    """

    number: int | None
    models: Mapping[str, ModelFound | None]
    digests: Mapping[tuple[str, str], str]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A client's request for an action."""

    number: int
    action: Action
    name: str


FromWorker = Joined | Prepared | PrepareFailed | Committed | Found | Call
