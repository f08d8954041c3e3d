"""Waiting for what nothing announces."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tests.support.server.output_lines import DEADLINE

T = TypeVar("T")


def eventually(ask: Callable[[], T | None]) -> T:
    """The first answer that is true.

    There is no pause between two questions: `ask` is to ask the server itself, and to block until it answers.
    """
    deadline = time.monotonic() + DEADLINE
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"{ask} has got no answer in {DEADLINE:.0f} s"
