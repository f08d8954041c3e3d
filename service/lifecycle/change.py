"""A change of one model that all workers make together."""

from __future__ import annotations

from dataclasses import dataclass, field

from .plans import Loaded, Target


@dataclass(slots=True)
class Change:
    """A change of one model that is being made.

    Attributes:
        target: the version to load; None if nothing has to be loaded.
        later: the workers that have not been told yet.
        waiting: the workers that have been told and have not answered.
        loaded: the version as the first worker has loaded it.
        committed: the workers have been told to serve it.
    """

    generation: int
    name: str
    target: Target | None
    deadline: float
    later: list[int] = field(default_factory=list)
    waiting: set[int] = field(default_factory=set)
    loaded: Loaded | None = None
    committed: bool = False
