"""Threads that many share: nobody's flood keeps the others waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from service.imaging.fair_executor import FairExecutor


async def queue_up(turns: FairExecutor, gate: threading.Event, *owners: str) -> list[str]:
    """The order in which one thread runs jobs of these owners that all wait when it becomes free."""
    order: list[str] = []

    def job(owner: str) -> Callable[[], None]:
        return lambda: order.append(owner)

    first = asyncio.create_task(turns.run("first", gate.wait))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(turns.run(owner, job(owner))) for owner in owners]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *waiting)
    return order


def test_owners_take_turns() -> None:
    turns = FairExecutor(1, "test")
    order = asyncio.run(queue_up(turns, threading.Event(), "a", "a", "a", "a", "b", "b", "c"))
    assert order == ["a", "b", "c", "a", "b", "a", "a"]
    turns.close()


def test_a_job_returns_and_raises_to_its_caller() -> None:
    async def run() -> None:
        turns = FairExecutor(2, "test")
        assert await turns.run("a", lambda: 42) == 42
        with pytest.raises(ZeroDivisionError):
            await turns.run("a", lambda: 1 // 0)
        assert await turns.run("a", lambda: 43) == 43
        turns.close()

    asyncio.run(run())


def test_what_nobody_waits_for_is_not_begun() -> None:
    async def run() -> None:
        turns, gate, begun = FairExecutor(1, "test"), threading.Event(), threading.Event()
        first = asyncio.create_task(turns.run("a", gate.wait))
        await asyncio.sleep(0)
        left = asyncio.create_task(turns.run("a", begun.set))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.sleep(0)
        gate.set()
        assert await first
        assert await turns.run("b", lambda: True)
        assert not begun.is_set()
        turns.close()

    asyncio.run(run())


def test_no_more_jobs_run_at_a_time_than_there_are_threads() -> None:
    async def run() -> None:
        turns, barrier = FairExecutor(3, "test"), threading.Barrier(3)
        places = await asyncio.gather(*(turns.run(str(owner), barrier.wait) for owner in range(9)))
        assert sorted(places) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        turns.close()

    asyncio.run(run())
