"""Waits for a condition that no event announces."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tests.support.server.output_lines import DEADLINE

T = TypeVar("T")


def eventually(ask: Callable[[], T | None]) -> T:
    """Calls `ask` until it returns a true value, and returns that.

    There is no pause between calls: `ask` must query the server, and block until it responds.
    """
    deadline = time.monotonic() + DEADLINE
    while True:
        value = ask()
        if value:
            return value
        assert time.monotonic() < deadline, f"{ask} returned no true value within {DEADLINE:.0f} s"
