"""A thread pool that serves its callers in turn (round robin) and bounds the memory of the running jobs."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, TypeVar

from ..client_budget import Account
from ..errors import BudgetExceeded, ModelNotReady

T = TypeVar("T")


EVICTED = "the server needs the memory of this waiting request for others; try again later"


class _Job(NamedTuple):
    run: Callable[[], Any]
    size: int
    future: asyncio.Future[Any]
    account: Account | None


class FairExecutor:
    """Runs jobs in threads, one of each key in turn: many jobs of one key delay those of another by one job.

    Small, medium and huge jobs have queues of their own, which take turns for the free threads. The sizes of
    the running jobs that are not small fit in the room together; a job that is larger than the room runs
    without other such jobs. If the job whose turn it is does not fit, another may run before it only if it
    will fit beside that one, so that none waits forever. A thread is kept for other jobs while huge ones run.

    Args:
        threads: the number of jobs that run at a time; one thread has a second one for a huge job.
        name: prefix of the names of the threads.
        room: bytes that the running medium and huge jobs may need together.
        small: the size of the largest small job.
        medium: the size of the largest medium job.
    """

    def __init__(
        self,
        threads: int,
        name: str,
        *,
        room: float = float("inf"),
        small: float = float("inf"),
        medium: float = float("inf"),
    ) -> None:
        all_threads = max(2, threads)
        self._executor = ThreadPoolExecutor(all_threads, name)
        self._room, self._small, self._medium = room, small, medium
        # Sizes of the running jobs, and the number of jobs that may begin.
        self._medium_used = self._huge_used = 0
        self._free, self._huge_free, self._others_free = all_threads, all_threads - 1, threads
        self._queues = deque((_Queue(), _Queue(), _Queue()))
        self._small_queue, self._medium_queue, self._huge_queue = self._queues
        self._closed = False

    def close(self) -> None:
        """Reject the jobs that have not begun, and wait for those that run."""
        self._closed = True
        for queue in self._queues:
            for job in queue.clear():
                if not job.future.done():
                    job.future.set_exception(ModelNotReady("the server is shutting down"))
        self._executor.shutdown()

    async def run(
        self, key: Hashable, job: Callable[[], T], size: int = 0, *, account: Account | None = None
    ) -> T:
        """Run the job; returns or raises what it does. A job whose caller was cancelled is not started.

        Args:
            size: bytes that the job needs while it runs.
            account: that of the request, if little has been done for it; it may be evicted until the job
                begins.

        Raises:
            BudgetExceeded: the request was evicted.
            ModelNotReady: the executor is closed.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._closed:
            raise ModelNotReady("the server is shutting down")
        queue = self._queue(size)
        waiting = _Job(job, size, future, account)
        queue.append(key, waiting)
        if account is not None:
            account.wait(partial(self._evict, key, waiting))
        self._start_jobs()
        try:
            return await future
        except asyncio.CancelledError:
            # What the job refers to is freed now, and the jobs behind it may fit.
            if queue.discard(key, waiting):
                self._start_jobs()
            raise

    def _evict(self, key: Hashable, job: _Job) -> None:
        """Reject the request of a job that waits, and release what it holds."""
        assert job.account is not None
        job.account.close()
        self._queue(job.size).discard(key, job)
        if not job.future.done():
            job.future.set_exception(BudgetExceeded(EVICTED, retry_after=1.0))
        self._start_jobs()

    def _queue(self, size: int) -> _Queue:
        if size <= self._small:
            return self._small_queue
        return self._medium_queue if size <= self._medium else self._huge_queue

    def _start_jobs(self) -> None:
        while self._free and not self._closed and (queue := self._next_queue()) is not None:
            self._queues.remove(queue)
            self._queues.append(queue)  # the others are served before it
            job = queue.pop()
            if job.account is not None:
                job.account.begin()
            self._free -= 1
            self._count(job, 1)
            running = asyncio.get_running_loop().run_in_executor(self._executor, job.run)
            running.add_done_callback(partial(self._finish, job))

    def _next_queue(self) -> _Queue | None:
        """The queue whose first job can begin."""
        waiting = None
        for queue in self._queues:
            if (job := queue.first()) is None:
                continue
            if job.size <= self._medium and not self._others_free:
                continue
            if job.size <= self._small or self._fits(job, waiting):
                return queue
            waiting = waiting or job
        return None

    def _fits(self, job: _Job, waiting: _Job | None) -> bool:
        """True if the job can begin; `waiting` is the job before it, which does not fit."""
        used = self._medium_used + self._huge_used
        if used and used + job.size > self._room:
            return False
        if job.size > self._medium:
            return waiting is None and self._huge_free > 0
        return waiting is None or self._medium_used + job.size + waiting.size <= self._room

    def _count(self, job: _Job, change: int) -> None:
        """Count a job that begins (1) or has ended (-1)."""
        if job.size > self._medium:
            self._huge_used += change * job.size
            self._huge_free -= change
            return
        self._others_free -= change
        if job.size > self._small:
            self._medium_used += change * job.size

    def _finish(self, job: _Job, done: asyncio.Future[Any]) -> None:
        self._free += 1
        self._count(job, -1)
        error = done.exception()
        if not job.future.done():
            if error is None:
                job.future.set_result(done.result())
            else:
                job.future.set_exception(error)
        self._start_jobs()


class _Queue:
    """Waiting jobs by key. Each operation takes constant time, also if thousands of jobs of a key wait."""

    def __init__(self) -> None:
        # The first key is the next to be served; none has no jobs.
        self._jobs: OrderedDict[Hashable, OrderedDict[asyncio.Future[Any], _Job]] = OrderedDict()

    def append(self, key: Hashable, job: _Job) -> None:
        self._jobs.setdefault(key, OrderedDict())[job.future] = job

    def first(self) -> _Job | None:
        return next(iter(next(iter(self._jobs.values())).values())) if self._jobs else None

    def pop(self) -> _Job:
        """Remove the first job, and give the next turn to the next key."""
        key, waiting = next(iter(self._jobs.items()))
        _, job = waiting.popitem(last=False)
        if waiting:
            self._jobs.move_to_end(key)
        else:
            del self._jobs[key]
        return job

    def discard(self, key: Hashable, job: _Job) -> bool:
        """Remove a job; returns False if it is not waiting."""
        waiting = self._jobs.get(key)
        if waiting is None or waiting.pop(job.future, None) is None:
            return False
        if not waiting:
            del self._jobs[key]
        return True

    def clear(self) -> list[_Job]:
        """Remove and return all jobs."""
        jobs = [job for waiting in self._jobs.values() for job in waiting.values()]
        self._jobs.clear()
        return jobs
