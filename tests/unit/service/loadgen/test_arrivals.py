"""Requests of an open loop become due at their moments, also when nobody can send them."""

from __future__ import annotations

import asyncio
import time

import pytest

from service.loadgen.workload.arrivals import Arrivals


class Told:
    """What was told when, and how often it was asked whether a request could be sent."""

    def __init__(self, idle: bool) -> None:
        self.idle = idle
        self.due: list[float] = []
        self.at: list[float] = []
        self.asked = 0

    def arrive(self, due: float) -> None:
        self.due.append(due)
        self.at.append(time.monotonic())

    def can_send(self) -> bool:
        self.asked += 1
        return self.idle


@pytest.mark.parametrize("idle", [True, False])
def test_each_is_told_once_in_order_and_never_before_it_is_due(idle: bool) -> None:
    async def main() -> None:
        begin = time.monotonic()
        times = [begin + 1e-5 * number for number in range(2000)]
        told = Told(idle)
        await Arrivals(iter(times), told.arrive, told.can_send).all()
        assert told.due == times
        assert all(at >= due for at, due in zip(told.at, told.due, strict=True))
        if not idle:
            assert told.asked <= 21  # once a millisecond and not once a request

    asyncio.run(main())


def test_none_at_all_is_the_end() -> None:
    told = Told(True)

    async def main() -> None:
        await Arrivals(iter([]), told.arrive, told.can_send).all()

    asyncio.run(main())
    assert told.due == []


def test_who_becomes_free_need_not_wait_for_the_next_look() -> None:
    async def main() -> None:
        now = time.monotonic()
        told = Told(False)
        arrivals = Arrivals(iter([now, now + 1e-5, now + 60]), told.arrive, told.can_send)
        rest = asyncio.ensure_future(arrivals.all())
        await asyncio.sleep(0)  # it has begun: the first is told, or two
        while time.monotonic() < now + 1e-4:
            pass
        told.idle = True
        arrivals.catch_up()
        assert told.due == [now, now + 1e-5]
        asked = told.asked
        arrivals.catch_up()  # nothing is behind any more
        assert told.asked == asked
        rest.cancel()

    asyncio.run(main())
