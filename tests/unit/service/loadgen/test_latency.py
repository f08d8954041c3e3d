from __future__ import annotations

import pytest

from service.loadgen.results.latency import Latencies, percentile


@pytest.mark.parametrize(
    ("percent", "value"), [(1, 1), (50, 50), (50.5, 51), (90, 90), (99, 99), (99.9, 100), (100, 100)]
)
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(percent: float, value: int) -> None:
    assert percentile(range(1, 101), percent) == value


def test_of_one_value_every_percentile_is_that_value() -> None:
    assert {percentile([3.0], percent) for percent in (0.1, 50, 99.9, 100)} == {3.0}


def test_a_rank_is_not_moved_by_floating_point() -> None:
    # 99.9 * 1000 / 100 is 999.0000000000001 where it is computed in floats.
    assert percentile(range(1, 1001), 99.9) == 999


def test_latencies_are_told_in_milliseconds_whatever_their_order() -> None:
    found = Latencies.of([0.003, 0.001, 0.002])
    assert found is not None
    assert (found.mean, found.p50, found.p99, found.max) == pytest.approx((2.0, 2.0, 3.0, 3.0))


def test_no_answers_have_no_latency() -> None:
    assert Latencies.of([]) is None
