"""Measures the memory that a server retains after requests."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle, islice
from typing import TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from tests.fuzz.conftest import FACTOR
from tests.support.server.procfs import memory

MAY_GROW = 4 * 1024 * 1024

many = settings(max_examples=400 * FACTOR, deadline=None, suppress_health_check=list(HealthCheck))

T = TypeVar("T")


def growth(
    pid: int, requests: SearchStrategy[T], send: Callable[[T], object], settle: Callable[[], object]
) -> int:
    """The bytes by which a process grows from the first half of the requests to the second."""
    seen: list[T] = []

    @settings(many, max_examples=200, database=None)
    @given(requests)
    def collect(request: T) -> None:
        seen.append(request)

    collect()
    sizes = []
    for _ in range(2):
        for request in islice(cycle(seen), 1500 * FACTOR):
            send(request)
        settle()
        sizes.append(memory(pid, "VmRSS"))
    return sizes[1] - sizes[0]
