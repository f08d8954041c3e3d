"""Whose time is over is told so, wherever his rows are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from .pending_request import PendingRequest

NEVER = float("inf")
# libuv's clock counts milliseconds, and its timers come as much too early.
TICK = 1e-3


class Deadlines:
    """One timer for all who wait, set to the earliest deadline: requests mostly come in their order.

    Args:
        unanswered: who waits, when the timer asks.

    Attributes:
        nearest: what the timer is set to, in the event loop's time.
    """

    def __init__(self, unanswered: Callable[[], Iterable[PendingRequest]]) -> None:
        self._unanswered = unanswered
        self._timer: asyncio.TimerHandle | None = None
        self.nearest = NEVER

    def watch(self, deadline: float) -> None:
        """See to one that comes before all others."""
        self.close()
        self.nearest = deadline
        self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        self._timer, self.nearest = None, NEVER
        now = asyncio.get_running_loop().time()
        for request in self._unanswered():
            if request.deadline <= now + TICK:
                request.expire()
        nearest = min((request.deadline for request in self._unanswered()), default=NEVER)
        if nearest < NEVER:
            self.watch(nearest)
