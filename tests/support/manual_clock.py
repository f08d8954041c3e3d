"""An event loop with a clock that the test advances."""

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
