"""A few threads that many share: whose turn it is goes round, whoever has asked for more."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

_Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class FairExecutor:
    """Runs jobs in threads, one of each owner in turn, so that an owner's flood delays the others by one job.

    Args:
        threads: how many jobs run at a time.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = threads
        # An owner stands here while jobs of his wait; the first is the next.
        self._queues: dict[Hashable, deque[_Job]] = {}

    def close(self) -> None:
        self._executor.shutdown()

    async def run(self, owner: Hashable, job: Callable[[], T]) -> T:
        """What the job returns or raises; one that nobody waits for any more is not begun."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(owner, deque()).append((job, future))
        self._begin()
        return await future

    def _begin(self) -> None:
        while self._free and self._queues:
            owner, queue = next(iter(self._queues.items()))
            job, future = queue.popleft()
            del self._queues[owner]
            if queue:
                self._queues[owner] = queue  # at the end
            if not future.done():
                self._free -= 1
                running = asyncio.get_running_loop().run_in_executor(self._executor, job)
                running.add_done_callback(partial(self._end, future))

    def _end(self, future: asyncio.Future[Any], done: asyncio.Future[Any]) -> None:
        self._free += 1
        error = done.exception()
        if not future.done():
            if error is None:
                future.set_result(done.result())
            else:
                future.set_exception(error)
        self._begin()
