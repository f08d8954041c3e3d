"""Arrival times of an open loop, and their delivery when no request can be sent."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from statistics import mean, pstdev

import pytest

from service.loadgen.workload.arrivals import Arrivals, poisson


class Recorder:
    """Records each arrival and its time, and counts the calls of `can_send`."""

    def __init__(self, idle: bool) -> None:
        self.idle = idle
        self.due: list[float] = []
        self.at: list[float] = []
        self.checks = 0

    def arrive(self, due: float) -> None:
        self.due.append(due)
        self.at.append(time.monotonic())

    def can_send(self) -> bool:
        self.checks += 1
        return self.idle


@pytest.mark.parametrize("idle", [True, False])
@pytest.mark.measures
def test_each_request_arrives_once_in_order_and_not_before_it_is_due(idle: bool) -> None:
    async def main() -> None:
        begin = time.monotonic()
        times = [begin + 1e-5 * number for number in range(2000)]
        recorder = Recorder(idle)
        await Arrivals(iter(times), recorder.arrive, recorder.can_send).run()
        assert recorder.due == times
        assert all(at >= due for at, due in zip(recorder.at, recorder.due, strict=True))
        if not idle:
            assert recorder.checks <= 21  # once per millisecond and not once per request

    asyncio.run(main())


def test_run_returns_when_there_are_no_arrivals() -> None:
    recorder = Recorder(True)

    async def main() -> None:
        await Arrivals(iter([]), recorder.arrive, recorder.can_send).run()

    asyncio.run(main())
    assert recorder.due == []


@pytest.mark.measures
def test_catch_up_delivers_due_requests_at_once() -> None:
    async def main() -> None:
        now = time.monotonic()
        recorder = Recorder(False)
        arrivals = Arrivals(iter([now, now + 1e-5, now + 60]), recorder.arrive, recorder.can_send)
        rest = asyncio.ensure_future(arrivals.run())
        await asyncio.sleep(0)  # the first has arrived, or the first two
        while time.monotonic() < now + 1e-4:
            pass
        recorder.idle = True
        arrivals.catch_up()
        assert recorder.due == [now, now + 1e-5]
        checks = recorder.checks
        arrivals.catch_up()  # nothing is delayed any more
        assert recorder.checks == checks
        rest.cancel()

    asyncio.run(main())


def test_poisson_arrivals_ascend_within_the_given_time() -> None:
    times = list(poisson(100, 2.0, seed=1))
    assert times == sorted(times)
    assert 0 < times[0] < times[-1] < 2.0


def test_poisson_arrivals_depend_on_the_seed_alone() -> None:
    assert list(poisson(50, 1.0, seed=3)) == list(poisson(50, 1.0, seed=3))
    assert list(poisson(50, 1.0, seed=3)) != list(poisson(50, 1.0, seed=4))


def test_poisson_gaps_are_exponential() -> None:
    """Mean and standard deviation are both 1 / rate; 20,000 gaps estimate either to a few percent."""
    times = list(poisson(1000, 20.0, seed=0))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert mean(gaps) == pytest.approx(0.001, rel=0.03)
    assert pstdev(gaps) == pytest.approx(0.001, rel=0.05)
