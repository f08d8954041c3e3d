from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import pytest

from service.batching.batcher import Batcher
from service.engine.session import Engine
from service.inference.idle_arena import IDLE_CHECKS, IdleArena

ROW = np.zeros((1, 2), np.uint8)


class CountingEngine:
    def __init__(self) -> None:
        self.shrunk = 0

    def shrink_arena(self, row: Any) -> None:
        assert row is ROW
        self.shrunk += 1


@pytest.fixture(params=["in the event loop", "in a thread"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor | None]:
    if request.param == "in the event loop":
        yield None
    else:
        with ThreadPoolExecutor(1) as thread:
            yield thread


def shrunk_after(executor: Executor | None, *batches: int, checks: int = 3 * IDLE_CHECKS) -> int:
    """The number of times that the arena is shrunk while the model is idle after these batches."""
    engine = CountingEngine()

    async def main() -> None:
        batcher = Batcher(lambda rows: np.zeros((len(rows), 1), np.float32), max_batch_size=8)
        arena = IdleArena(cast(Engine, engine), batcher, executor, ROW)
        for rows in batches:
            await batcher.submit(np.zeros((rows, 2), np.uint8))
            arena.check()
        for _ in range(checks):
            arena.check()
        if executor is not None:
            await asyncio.get_running_loop().run_in_executor(executor, int)

    asyncio.run(main())
    return engine.shrunk


def test_arena_is_shrunk_once_after_a_large_batch(executor: Executor | None) -> None:
    assert shrunk_after(executor, 8) == 1
    assert shrunk_after(executor, 8, 1) == 1


def test_arena_is_not_shrunk_after_single_rows(executor: Executor | None) -> None:
    assert shrunk_after(executor, 1, 1) == 0
    assert shrunk_after(executor) == 0


def test_arena_is_not_shrunk_before_the_model_is_idle(executor: Executor | None) -> None:
    assert shrunk_after(executor, 8, checks=IDLE_CHECKS - 1) == 0
