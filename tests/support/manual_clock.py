"""Clocks that the test advances: one to call, and one of an event loop."""

from __future__ import annotations

import asyncio


class ManualClockLoop(asyncio.SelectorEventLoop):
    """An event loop in which timers fire only after `advance`.

    Use it with `asyncio.Runner(loop_factory=ManualClockLoop)`.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__()

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Advance the clock, from inside the loop; due timers run in the next iteration."""
        self._now += seconds


class ManualClock:
    """A function that returns the time, in place of `time.monotonic`."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds
