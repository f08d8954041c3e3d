"""The search on a model of a server: a queue whose tail latency grows without bound at capacity."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from service.loadgen.results.rate_search import CONFIRMATIONS, MIN_RATE, RESOLUTION, find_max_rate

SERVICE_MS = 1.0
OBJECTIVE_MS = 15.0


def queue(capacity: float) -> Callable[[float], float]:
    """p99 of M/M/1: the time in the system is exponential with mean service / (1 - utilisation)."""

    def tail(rate: float) -> float:
        load = rate / capacity
        return math.inf if load >= 1 else math.log(100) * SERVICE_MS / (1 - load)

    return tail


def largest(capacity: float) -> float:
    return capacity * (1 - math.log(100) * SERVICE_MS / OBJECTIVE_MS)


@pytest.mark.parametrize("start", [1.0, 100.0, 700.0, 5_000.0, 1_000_000.0])
def test_search_finds_the_rate_from_any_start(start: float) -> None:
    found = find_max_rate(queue(1000), OBJECTIVE_MS, start)
    assert found.rate is not None
    assert largest(1000) / (1 + RESOLUTION) <= found.rate <= largest(1000)


def test_rate_is_confirmed_by_repeated_runs() -> None:
    found = find_max_rate(queue(1000), OBJECTIVE_MS, 100.0)
    assert len(found.confirmations) == CONFIRMATIONS
    assert all(trial.held and trial.tail <= OBJECTIVE_MS for trial in found.confirmations)


def test_single_lucky_run_is_not_accepted() -> None:
    """The server sustains too high a rate, but only in the first run."""
    honest, seen = queue(1000), set[float]()

    def lucky(rate: float) -> float:
        first = rate not in seen
        seen.add(rate)
        return 0.0 if first and rate < 900 else honest(rate)

    found = find_max_rate(lucky, OBJECTIVE_MS, 100.0)
    assert found.rate is not None
    assert found.rate <= largest(1000)
    assert any(trial.rate > found.rate and trial.held for trial in found.trials)


def test_search_returns_none_if_no_rate_is_sustained() -> None:
    found = find_max_rate(lambda rate: math.inf, OBJECTIVE_MS, 64.0)
    assert found.rate is None
    assert found.confirmations == ()
    assert found.trials[-1].rate == MIN_RATE
