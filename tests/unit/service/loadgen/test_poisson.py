from __future__ import annotations

from itertools import pairwise
from statistics import mean, pstdev

import pytest

from service.loadgen.workload.schedule import poisson


def test_arrivals_ascend_within_the_time_given() -> None:
    times = list(poisson(100, 2.0, seed=1))
    assert times == sorted(times)
    assert 0 < times[0] < times[-1] < 2.0


def test_the_seed_alone_decides_them() -> None:
    assert list(poisson(50, 1.0, seed=3)) == list(poisson(50, 1.0, seed=3))
    assert list(poisson(50, 1.0, seed=3)) != list(poisson(50, 1.0, seed=4))


def test_gaps_are_exponential() -> None:
    """Their mean is one over the rate, and so is their deviation; 20,000 gaps tell either to some percent."""
    times = list(poisson(1000, 20.0, seed=0))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert mean(gaps) == pytest.approx(0.001, rel=0.03)
    assert pstdev(gaps) == pytest.approx(0.001, rel=0.05)
