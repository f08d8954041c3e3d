"""The states of a model version from its discovery to its end."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class VersionState(StrEnum):
    """A state of a version in one process; a prepared one waits until all workers are to serve it."""

    ABSENT = "absent"
    CHECKING = "checking"
    LOADING = "loading"
    WARMING = "warming"
    PREPARED = "prepared"
    READY = "ready"
    DRAINING = "draining"
    CLOSED = "closed"
    FAILED = "failed"


_S = VersionState
FOLLOWING: Mapping[VersionState, frozenset[VersionState]] = {
    _S.ABSENT: frozenset({_S.CHECKING}),
    _S.CHECKING: frozenset({_S.LOADING, _S.FAILED}),
    _S.LOADING: frozenset({_S.WARMING, _S.FAILED}),
    _S.WARMING: frozenset({_S.PREPARED, _S.FAILED}),
    _S.PREPARED: frozenset({_S.READY, _S.CLOSED}),
    _S.READY: frozenset({_S.DRAINING}),
    _S.DRAINING: frozenset({_S.CLOSED}),
    _S.CLOSED: frozenset(),
    _S.FAILED: frozenset(),
}


class VersionLife:
    """One version from the attempt to load it to its end; another attempt has a life of its own.

    Attributes:
        state: the current state.
    """

    __slots__ = ("name", "state", "version")

    def __init__(self, name: str, version: str) -> None:
        self.name = name
        self.version = version
        self.state = VersionState.ABSENT

    def enter(self, state: VersionState) -> None:
        """
        Raises:
            RuntimeError: no version gets from the current state to this one.
        """
        if state not in FOLLOWING[self.state]:
            raise RuntimeError(f"{self.name} version {self.version} cannot be {state} after {self.state}")
        self.state = state
