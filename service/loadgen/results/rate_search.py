"""The largest rate that holds a latency objective: the server scenario of MLPerf Inference.

Reddi et al., MLPerf Inference Benchmark, 2020, section III: queries arrive by a Poisson process, and the
figure is the largest rate at which the tail latency stays within the bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# Neighbouring rates that are told apart: 3 %.
RESOLUTION = 0.03
CONFIRMATIONS = 3
GROWTH = 1.5
MIN_RATE = 1.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One run at a rate.

    Attributes:
        tail: the latency in milliseconds that the objective bounds, over all that was offered: what was
            refused or failed counts as infinite.
    """

    rate: float
    tail: float
    held: bool


@dataclass(frozen=True, slots=True)
class Found:
    """`rate` is None where not even MIN_RATE is held; `trials` is the evidence, in order."""

    rate: float | None
    trials: tuple[Trial, ...]

    @property
    def confirmations(self) -> tuple[Trial, ...]:
        """The runs at the rate that was found, all of which held it."""
        return tuple(trial for trial in self.trials if trial.rate == self.rate)


def find_max_rate(measure: Callable[[float], float], objective: float, start: float) -> Found:
    """Bracket, bisect, then confirm: a rate counts when CONFIRMATIONS runs of it have held.

    Args:
        measure: runs the load at a rate and returns its tail latency in milliseconds.
        objective: milliseconds.
        start: the first rate to try, a guess.
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
        # The machine is less steady than the search took it for: ever further down.
        low = max(low / (1 + step), MIN_RATE) if low > MIN_RATE else None
        step *= 2
    return Found(low, tuple(search.trials))


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
        """A rate that was held and one that was not."""
        if self.holds(rate):
            while self.holds(rate * GROWTH):
                rate *= GROWTH
            return rate, rate * GROWTH
        while rate > MIN_RATE:
            rate = max(rate / GROWTH, MIN_RATE)
            if self.holds(rate):
                return rate, rate * GROWTH
        return None, rate

    def is_confirmed(self, rate: float) -> bool:
        """The run that found it counts as well."""
        held = sum(trial.held for trial in self.trials if trial.rate == rate)
        return all(self.holds(rate) for _ in range(CONFIRMATIONS - held))
