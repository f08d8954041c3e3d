"""Shares the time to parse expensive bytes between connections."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

MAX_SECONDS = 0.005


class ParseTurns:
    """Connections with many small chunks or requests parse for 5 ms in each iteration of the event loop.

    They share this time: a request on a new connection takes several iterations, and each would be as long as
    there are such connections.
    """

    __slots__ = ("_begun", "_scheduled", "_spent", "_waiting")

    def __init__(self) -> None:
        self._spent = self._begun = 0.0
        self._scheduled = False
        # In the order of their turns. A dictionary would search for its first key past all that were removed.
        self._waiting: OrderedDict[Callable[[], None], None] = OrderedDict()

    @property
    def are_over(self) -> bool:
        """True if no more expensive bytes should be parsed in this iteration."""
        return self._spent >= MAX_SECONDS

    def begin(self) -> None:
        """A connection parses expensive bytes."""
        self._begun = time.monotonic()

    def end(self) -> None:
        self._spent += time.monotonic() - self._begun
        self._schedule()

    def wait(self, resume: Callable[[], None]) -> None:
        """Call `resume` in a later iteration, when it is its turn."""
        self._waiting[resume] = None
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._scheduled = False
        self._spent = 0.0
        while self._waiting and not self.are_over:
            resume, _ = self._waiting.popitem(last=False)
            resume()
        if self._waiting:
            self._schedule()
