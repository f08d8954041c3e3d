"""Percentiles of latencies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

MILLISECONDS = 1000.0


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that is at least as large as `percent` of 100 of all values (nearest rank).

    Args:
        ordered: at least one value, ascending.
        percent: above 0, at most 100.
    """
    # Rounded because 99.9 * 1000 / 100 is slightly above 999 in floating point.
    rank = math.ceil(round(percent * len(ordered) / 100, 9))
    return ordered[max(rank, 1) - 1]


@dataclass(frozen=True, slots=True)
class Latencies:
    """A summary in milliseconds."""

    mean: float
    p50: float
    p90: float
    p99: float
    p999: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self | None:
        """The summary of latencies in seconds; None if there are none."""
        if not seconds:
            return None
        ordered = sorted(value * MILLISECONDS for value in seconds)
        return cls(
            mean=math.fsum(ordered) / len(ordered),
            p50=percentile(ordered, 50),
            p90=percentile(ordered, 90),
            p99=percentile(ordered, 99),
            p999=percentile(ordered, 99.9),
            max=ordered[-1],
        )

    def __str__(self) -> str:
        named = {"p50": self.p50, "p90": self.p90, "p99": self.p99, "p99.9": self.p999, "max": self.max}
        return "  ".join(f"{name} {value:.2f}" for name, value in named.items())
