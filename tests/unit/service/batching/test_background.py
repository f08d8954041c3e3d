"""Rows of the background run only while no others wait, and count in nothing."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from service.batching.batcher import Batcher
from service.batching.pending_request import Scores
from service.errors import DeadlineExceeded, ModelNotReady
from tests.support.batching.gated_engine import GatedEngine, rows


async def iterate(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_background_rows_run_after_all_others(gated: tuple[GatedEngine, ThreadPoolExecutor]) -> None:
    engine, executor = gated
    seen: list[int] = []

    async def scenario() -> None:
        batcher = Batcher(
            engine.run,
            max_batch_size=4,
            executor=executor,
            observe=lambda scores, _: seen.append(len(scores)),
        )
        first = asyncio.create_task(batcher.submit(rows(1)))
        await iterate()
        low = [asyncio.create_task(batcher.submit_background(rows(value))) for value in (100, 101)]
        await iterate()
        others = [asyncio.create_task(batcher.submit(rows(value))) for value in (2, 3)]
        await iterate()
        assert batcher.rows_waiting == 2
        engine.gate.set()
        assert [result.tolist() for result in await asyncio.gather(*low)] == [[[200.0]], [[202.0]]]
        await asyncio.gather(first, *others)

    asyncio.run(scenario())
    assert engine.batches == [[1], [2, 3], [100], [101]]
    assert seen == [1, 2]


def test_background_rows_of_a_cancelled_request_never_run(
    gated: tuple[GatedEngine, ThreadPoolExecutor],
) -> None:
    engine, executor = gated

    async def scenario() -> None:
        batcher = Batcher(engine.run, max_batch_size=4, executor=executor)
        first = asyncio.create_task(batcher.submit(rows(1)))
        await iterate()
        low = [asyncio.create_task(batcher.submit_background(rows(value))) for value in (100, 101)]
        await iterate()
        low[0].cancel()
        engine.gate.set()
        await asyncio.gather(first, low[1])
        await batcher.drain()

    asyncio.run(scenario())
    assert engine.batches == [[1], [101]]


def test_background_rows_run_in_the_event_loop_without_an_executor() -> None:
    async def scenario() -> Scores:
        batcher = Batcher(lambda batch: batch.astype(np.float32), max_batch_size=4, max_queue_delay=3600)
        return await asyncio.wait_for(batcher.submit_background(rows(7, 8)), timeout=30)

    assert asyncio.run(scenario()).tolist() == [[7.0], [8.0]]


def test_background_rows_expire_at_their_deadline(gated: tuple[GatedEngine, ThreadPoolExecutor]) -> None:
    engine, executor = gated

    async def scenario() -> None:
        batcher = Batcher(engine.run, max_batch_size=4, executor=executor)
        first = asyncio.create_task(batcher.submit(rows(1)))
        await iterate()
        deadline = asyncio.get_running_loop().time() + 0.02
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(batcher.submit_background(rows(100), deadline=deadline), timeout=30)
        engine.gate.set()
        await first

    asyncio.run(scenario())


def test_draining_rejects_background_rows(gated: tuple[GatedEngine, ThreadPoolExecutor]) -> None:
    engine, executor = gated

    async def scenario() -> None:
        batcher = Batcher(engine.run, max_batch_size=4, executor=executor)
        first = asyncio.create_task(batcher.submit(rows(1)))
        await iterate()
        low = asyncio.create_task(batcher.submit_background(rows(100)))
        await iterate()
        drained = asyncio.create_task(batcher.drain())
        await iterate()
        with pytest.raises(ModelNotReady):
            await low
        engine.gate.set()
        await asyncio.gather(first, drained)
        with pytest.raises(ModelNotReady):
            await batcher.submit_background(rows(101))

    asyncio.run(scenario())
    assert engine.batches == [[1]]
