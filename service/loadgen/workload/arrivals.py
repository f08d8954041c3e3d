"""The moments at which requests of an open loop become due, as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

from ..hires_timer import HighResolutionTimer

# How often it is looked what has become due while nobody could send it.
TICK = 1e-3


class Arrivals:
    """Tells each request when it is due.

    In an overload all connections are busy and requests only queue up. Then they are told some at a time: a
    timer for each would take the server it is to load from its cores, thousands of times a second.

    Args:
        times: by `time.monotonic()`, in order.
        arrive: told each of them.
        can_send: whether a request that arrives now could be sent.
    """

    def __init__(
        self, times: Iterator[float], arrive: Callable[[float], None], can_send: Callable[[], bool]
    ) -> None:
        self._times = times
        self._arrive = arrive
        self._can_send = can_send
        self._upcoming = next(times, None)
        self._behind = False
        self._ended = asyncio.Event()
        self._alarm = HighResolutionTimer(self._ring)

    async def all(self) -> None:
        """Return when the last has been told."""
        with self._alarm:
            self._ring()
            await self._ended.wait()

    def catch_up(self) -> None:
        """Now a request can be sent: tell what has become due."""
        if self._behind:
            self._ring()

    def _ring(self) -> None:
        now = time.monotonic()
        while self._upcoming is not None and self._upcoming <= now:
            self._arrive(self._upcoming)
            self._upcoming = next(self._times, None)
        if self._upcoming is None:
            self._behind = False
            self._ended.set()
            return
        self._behind = not self._can_send()
        self._alarm.set(max(self._upcoming, now + TICK) if self._behind else self._upcoming)
