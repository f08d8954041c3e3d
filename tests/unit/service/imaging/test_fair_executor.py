"""The executor shares its threads between keys by round robin."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from service.imaging.fair_executor import FairExecutor


async def queue_up(executor: FairExecutor, gate: threading.Event, *keys: str) -> list[str]:
    """Queue jobs with these keys on one thread and return the order in which they run."""
    order: list[str] = []

    def job(key: str) -> Callable[[], None]:
        return lambda: order.append(key)

    first = asyncio.create_task(executor.run("first", gate.wait))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(executor.run(key, job(key))) for key in keys]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *waiting)
    return order


def test_keys_run_in_round_robin_order() -> None:
    executor = FairExecutor(1, "test")
    order = asyncio.run(queue_up(executor, threading.Event(), "a", "a", "a", "a", "b", "b", "c"))
    assert order == ["a", "b", "c", "a", "b", "a", "a"]
    executor.close()


def test_result_and_exception_reach_the_caller() -> None:
    async def run() -> None:
        executor = FairExecutor(2, "test")
        assert await executor.run("a", lambda: 42) == 42
        with pytest.raises(ZeroDivisionError):
            await executor.run("a", lambda: 1 // 0)
        assert await executor.run("a", lambda: 43) == 43
        executor.close()

    asyncio.run(run())


def test_cancelled_job_is_not_started() -> None:
    async def run() -> None:
        executor, gate, started = FairExecutor(1, "test"), threading.Event(), threading.Event()
        first = asyncio.create_task(executor.run("a", gate.wait))
        await asyncio.sleep(0)
        cancelled = asyncio.create_task(executor.run("a", started.set))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)
        gate.set()
        assert await first
        assert await executor.run("b", lambda: True)
        assert not started.is_set()
        executor.close()

    asyncio.run(run())


def test_each_thread_runs_one_job() -> None:
    async def run() -> None:
        executor, barrier = FairExecutor(3, "test"), threading.Barrier(3)
        places = await asyncio.gather(*(executor.run(str(key), barrier.wait) for key in range(9)))
        assert sorted(places) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        executor.close()

    asyncio.run(run())
