"""A thread pool that serves its callers in turn (round robin)."""

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
    """Runs jobs in threads, one of each key in turn: many jobs of one key delay those of another by one job.

    Args:
        threads: the number of jobs that run at a time.
        name: prefix of the names of the threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = threads
        # The keys that have waiting jobs; the first is the next to be served.
        self._queues: dict[Hashable, deque[_Job]] = {}

    def close(self) -> None:
        self._executor.shutdown()

    async def run(self, key: Hashable, job: Callable[[], T]) -> T:
        """Run the job; returns or raises what it does. A job whose caller was cancelled is not started."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(key, deque()).append((job, future))
        self._start_jobs()
        return await future

    def _start_jobs(self) -> None:
        while self._free and self._queues:
            key, queue = next(iter(self._queues.items()))
            job, future = queue.popleft()
            del self._queues[key]
            if queue:
                self._queues[key] = queue  # at the end
            if not future.done():
                self._free -= 1
                running = asyncio.get_running_loop().run_in_executor(self._executor, job)
                running.add_done_callback(partial(self._finish, future))

    def _finish(self, future: asyncio.Future[Any], done: asyncio.Future[Any]) -> None:
        self._free += 1
        error = done.exception()
        if not future.done():
            if error is None:
                future.set_result(done.result())
            else:
                future.set_exception(error)
        self._start_jobs()
