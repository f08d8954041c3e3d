"""The calls of clients to load and unload models, in the order in which they arrive."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ..errors import LoadConflict
from .messages import Action, Call

# Calls of one model that wait for the same; more are refused.
MAX_CALLS = 256


@dataclass(slots=True)
class PendingCalls:
    """Equal calls for one model, which end together.

    Attributes:
        callers: worker and number of each.
        scan: the number of the look at the disk that they wait for; None if there is none.
    """

    action: Action
    name: str
    callers: list[tuple[int, int]]
    scan: int | None = None


class CallQueue:
    """Calls that wait, and the first, which is being carried out.

    Calls that arrive one after the other and want the same are carried out together, unless the first of them
    has begun: it may have looked at the disk before the last call was made.
    """

    def __init__(self) -> None:
        self._calls: deque[PendingCalls] = deque()

    @property
    def first(self) -> PendingCalls | None:
        """The calls that are being carried out."""
        return self._calls[0] if self._calls else None

    def add(self, worker: int, call: Call) -> bool:
        """Add a call; True if it is the first and has to be begun.

        Raises:
            LoadConflict: too many calls wait.
        """
        if sum(len(each.callers) for each in self._calls) >= MAX_CALLS:
            raise LoadConflict(f"{MAX_CALLS} calls of load and unload are waiting; try again later")
        last = self._calls[-1] if len(self._calls) > 1 else None
        if last is not None and (last.action, last.name) == (call.action, call.name):
            last.callers.append((worker, call.number))
            return False
        self._calls.append(PendingCalls(call.action, call.name, [(worker, call.number)]))
        return len(self._calls) == 1

    def scanned(self, number: int | None) -> PendingCalls | None:
        """The calls that have waited for this look at the disk."""
        first = self.first
        if first is None or first.scan is None or first.scan != number:
            return None
        first.scan = None
        return first

    def end(self) -> PendingCalls:
        """Remove the first calls."""
        return self._calls.popleft()

    def lost(self, worker: int) -> None:
        """Forget the callers in a worker that has ended."""
        for each in self._calls:
            each.callers = [caller for caller in each.callers if caller[0] != worker]
