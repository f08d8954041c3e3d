"""The arrival times of an open loop."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator

from ..hires_timer import HighResolutionTimer

# Seconds between deliveries while no request can be sent.
TICK = 1e-3


def poisson(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """The arrivals of a Poisson process: ascending offsets below `seconds`, `rate` per second on average.

    The same seed gives the same arrivals, so that two servers can be measured with the same load.
    """
    generator = random.Random(seed)
    due = generator.expovariate(rate)
    while due < seconds:
        yield due
        due += generator.expovariate(rate)


class Arrivals:
    """Calls `arrive` for each request when it is due.

    Under overload all connections are busy and requests only queue up. They are then delivered once per TICK:
    a timer for each would take CPU time from the server, thousands of times a second.

    Args:
        times: by `time.monotonic()`, ascending.
        arrive: called with each of them.
        can_send: whether a request that arrives now could be sent.
    """

    def __init__(
        self, times: Iterator[float], arrive: Callable[[float], None], can_send: Callable[[], bool]
    ) -> None:
        self._times = times
        self._arrive = arrive
        self._can_send = can_send
        self._next = next(times, None)
        self._delayed = False
        self._ended = asyncio.Event()
        self._timer = HighResolutionTimer(self._deliver)

    async def run(self) -> None:
        """Return after the last arrival."""
        with self._timer:
            self._deliver()
            await self._ended.wait()

    def catch_up(self) -> None:
        """Deliver what has become due, now that a request can be sent."""
        if self._delayed:
            self._deliver()

    def _deliver(self) -> None:
        now = time.monotonic()
        while self._next is not None and self._next <= now:
            self._arrive(self._next)
            self._next = next(self._times, None)
        if self._next is None:
            self._delayed = False
            self._ended.set()
            return
        self._delayed = not self._can_send()
        self._timer.set(max(self._next, now + TICK) if self._delayed else self._next)
