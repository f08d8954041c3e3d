from __future__ import annotations

import pytest

from service.loadgen.results.latency import Latencies, percentile


@pytest.mark.parametrize(
    ("percent", "value"), [(1, 1), (50, 50), (50.5, 51), (90, 90), (99, 99), (99.9, 100), (100, 100)]
)
def test_percentile_is_the_nearest_rank(percent: float, value: int) -> None:
    assert percentile(range(1, 101), percent) == value


def test_percentile_of_one_value_is_that_value() -> None:
    assert {percentile([3.0], percent) for percent in (0.1, 50, 99.9, 100)} == {3.0}


def test_percentile_is_exact_despite_floating_point() -> None:
    # 99.9 * 1000 / 100 is 999.0000000000001 in floating point.
    assert percentile(range(1, 1001), 99.9) == 999


def test_latencies_are_in_milliseconds_in_any_order() -> None:
    found = Latencies.of([0.003, 0.001, 0.002])
    assert found is not None
    assert (found.mean, found.p50, found.p99, found.max) == pytest.approx((2.0, 2.0, 3.0, 3.0))


def test_latencies_of_no_responses_are_none() -> None:
    assert Latencies.of([]) is None
