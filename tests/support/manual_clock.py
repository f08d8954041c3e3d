"""An event loop whose time only the test moves."""

from __future__ import annotations

import asyncio


class ManualClockLoop(asyncio.SelectorEventLoop):
    """Timers fire after `advance`, however slow the machine is.

    Use it with `asyncio.Runner(loop_factory=ManualClockLoop)`.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__()

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Call it from inside the loop: timers that are due then run in its next iteration."""
        self._now += seconds
