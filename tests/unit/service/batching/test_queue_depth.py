"""The number of waiting rows that the batcher reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest

from service.batching.batcher import Batcher
from service.batching.pending_request import RequestResult, Rows, Scores
from service.errors import DeadlineExceeded, InferenceFailed
from tests.support.batching.gated_engine import double
from tests.support.manual_clock import ManualClockLoop

FOREVER = 3600.0


def fail(batch: Rows) -> Scores:
    raise RuntimeError("broken engine")


class Queue:
    """A batcher of up to two rows in a batch, and the number of waiting rows it has reported."""

    def __init__(self, run: Callable[[Rows], Scores] = double, max_queue_delay: float = FOREVER) -> None:
        self.depth = 0
        self.peak = 0
        self.batcher = Batcher(
            run, max_batch_size=2, max_queue_delay=max_queue_delay, queue_changed=self._add
        )

    def _add(self, change: int) -> None:
        self.depth += change
        self.peak = max(self.peak, self.depth)
        assert self.depth == self.batcher.rows_waiting >= 0

    async def submit(self, count: int, deadline: float = float("inf")) -> asyncio.Task[RequestResult]:
        rows = np.zeros((count, 1), np.uint8)
        task = asyncio.create_task(self.batcher.submit(rows, deadline=deadline))
        await asyncio.sleep(0)
        return task


def test_rows_wait_until_a_batch_takes_them() -> None:
    async def run() -> None:
        queue = Queue()
        request = await queue.submit(1)
        assert queue.depth == 1
        queue.batcher.flush_now()
        await request
        assert queue.depth == 0

    asyncio.run(run())


def test_long_request_waits_with_its_remaining_rows() -> None:
    async def run() -> None:
        queue = Queue(max_queue_delay=0)
        await (await queue.submit(5))
        assert (queue.depth, queue.peak) == (0, 5)

    asyncio.run(run())


def test_cancelled_request_does_not_wait() -> None:
    async def run() -> None:
        queue = Queue()
        request = await queue.submit(1)
        request.cancel()
        with suppress(asyncio.CancelledError):
            await request
        assert queue.depth == 0
        other = await queue.submit(1)
        queue.batcher.flush_now()
        await other
        assert queue.depth == 0

    asyncio.run(run())


def test_expired_request_does_not_wait() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ManualClockLoop)
        queue = Queue()
        request = await queue.submit(1, deadline=loop.time() + 1)
        loop.advance(2)
        with pytest.raises(DeadlineExceeded):
            await request
        assert queue.depth == 0

    with asyncio.Runner(loop_factory=ManualClockLoop) as runner:
        runner.run(run())


def test_failed_request_does_not_wait() -> None:
    async def run() -> None:
        queue = Queue(fail, max_queue_delay=0)
        request = await queue.submit(5)
        with pytest.raises(InferenceFailed):
            await request
        assert queue.depth == 0

    asyncio.run(run())
