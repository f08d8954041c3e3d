"""Finds the highest rate within a latency objective: the server scenario of MLPerf Inference.

Reddi et al., MLPerf Inference Benchmark, 2020, section III: queries arrive by a Poisson process, and the
result is the highest rate at which the tail latency stays within the bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# The search stops when the bracket is this narrow: 3 %.
RESOLUTION = 0.03
CONFIRMATIONS = 3
STEP_FACTOR = 1.5
MIN_RATE = 1.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One run at a rate.

    Attributes:
        tail: the 99th percentile in milliseconds over all offered requests; rejected and failed ones count
            as infinite.
        held: whether the tail was within the objective.
    """

    rate: float
    tail: float
    held: bool


@dataclass(frozen=True, slots=True)
class MaxRate:
    """The result of a search.

    Attributes:
        rate: requests per second; None if not even MIN_RATE is within the objective.
        trials: every run, in order.
    """

    rate: float | None
    trials: tuple[Trial, ...]

    @property
    def confirmations(self) -> tuple[Trial, ...]:
        """The runs at the resulting rate; all of them were within the objective."""
        return tuple(trial for trial in self.trials if trial.rate == self.rate)


def find_max_rate(measure: Callable[[float], float], objective: float, start: float) -> MaxRate:
    """Bracket, bisect, then confirm: a rate counts once CONFIRMATIONS runs of it are within the objective.

    Args:
        measure: runs the load at a rate and returns its tail latency in milliseconds.
        objective: milliseconds.
        start: the first rate to try.
    """
    search = _Search(measure, objective)
    low, high = search.bracket(start)
    while low is not None and high / low > 1 + RESOLUTION:
        middle = (low * high) ** 0.5
        if search.holds(middle):
            low = middle
        else:
            high = middle
    step = RESOLUTION
    while low is not None and not search.is_confirmed(low):
        # The machine is noisier than the resolution: reduce the rate by growing steps.
        low = max(low / (1 + step), MIN_RATE) if low > MIN_RATE else None
        step *= 2
    return MaxRate(low, tuple(search.trials))


class _Search:
    def __init__(self, measure: Callable[[float], float], objective: float) -> None:
        self._measure = measure
        self._objective = objective
        self.trials: list[Trial] = []

    def holds(self, rate: float) -> bool:
        tail = self._measure(rate)
        held = tail <= self._objective
        self.trials.append(Trial(rate, tail, held))
        return held

    def bracket(self, rate: float) -> tuple[float | None, float]:
        """A rate within the objective (None if there is none) and one beyond it."""
        if self.holds(rate):
            while self.holds(rate * STEP_FACTOR):
                rate *= STEP_FACTOR
            return rate, rate * STEP_FACTOR
        while rate > MIN_RATE:
            rate = max(rate / STEP_FACTOR, MIN_RATE)
            if self.holds(rate):
                return rate, rate * STEP_FACTOR
        return None, rate

    def is_confirmed(self, rate: float) -> bool:
        """Repeat the rate until enough runs have held; earlier runs of it count."""
        held = sum(trial.held for trial in self.trials if trial.rate == rate)
        return all(self.holds(rate) for _ in range(CONFIRMATIONS - held))
