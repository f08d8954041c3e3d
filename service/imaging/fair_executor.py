"""A thread pool that serves its callers in turn (round robin) and bounds the memory of the running jobs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class _Job(NamedTuple):
    run: Callable[[], Any]
    size: int
    future: asyncio.Future[Any]


class FairExecutor:
    """Runs jobs in threads, one of each key in turn: many jobs of one key delay those of another by one job.

    Small and large jobs have queues of their own, which take turns for the free threads. The sizes of the
    running jobs of either queue fit in its room together, except that the largest job runs alone if it is
    larger. The next job of a queue waits until it fits, and no job of its queue overtakes it, so that none
    waits forever. A thread is kept for small jobs while huge ones run.

    Args:
        threads: the number of jobs that run at a time.
        name: prefix of the names of the threads.
        room: bytes that the running large jobs may need together.
        small_room: the same for small jobs.
        small: the size of the largest small job.
        huge: jobs above this size do not occupy all threads at a time.
    """

    def __init__(
        self,
        threads: int,
        name: str,
        *,
        room: float = float("inf"),
        small_room: float = float("inf"),
        small: float = float("inf"),
        huge: float = float("inf"),
    ) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = threads
        self._small, self._huge = small, huge
        self._huge_free = max(1, threads - 1)
        self._queues = deque((_Queue(small_room), _Queue(room)))
        self._small_queue, self._large_queue = self._queues
        self._closed = False

    def close(self) -> None:
        """Cancel the jobs that have not begun, and wait for those that run."""
        self._closed = True
        for queue in self._queues:
            for job in queue.clear():
                job.future.cancel()
        self._executor.shutdown()

    async def run(self, key: Hashable, job: Callable[[], T], size: int = 0) -> T:
        """Run the job; returns or raises what it does. A job whose caller was cancelled is not started.

        Args:
            size: bytes that the job needs while it runs.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._closed:
            raise asyncio.CancelledError
        queue = self._small_queue if size <= self._small else self._large_queue
        waiting = _Job(job, size, future)
        queue.append(key, waiting)
        self._start_jobs()
        try:
            return await future
        except asyncio.CancelledError:
            # What the job refers to is freed now, and the jobs behind it may fit.
            if queue.discard(key, waiting):
                self._start_jobs()
            raise

    def _start_jobs(self) -> None:
        while self._free and not self._closed:
            for queue in self._queues:
                job = queue.first()
                if job is not None and queue.fits(job) and (job.size <= self._huge or self._huge_free):
                    break
            else:
                return
            self._queues.remove(queue)
            self._queues.append(queue)  # the other queue is the next to be served
            queue.start()
            self._free -= 1
            self._huge_free -= job.size > self._huge
            running = asyncio.get_running_loop().run_in_executor(self._executor, job.run)
            running.add_done_callback(partial(self._finish, queue, job))

    def _finish(self, queue: _Queue, job: _Job, done: asyncio.Future[Any]) -> None:
        self._free += 1
        self._huge_free += job.size > self._huge
        queue.used -= job.size
        error = done.exception()
        if not job.future.done():
            if error is None:
                job.future.set_result(done.result())
            else:
                job.future.set_exception(error)
        self._start_jobs()


_NO_JOBS: deque[_Job] = deque(maxlen=0)


class _Queue:
    """Waiting jobs by key; `used` is the size of those that run."""

    def __init__(self, room: float) -> None:
        self._room = room
        self.used = 0
        # The keys that have waiting jobs; the first is the next to be served.
        self._jobs: dict[Hashable, deque[_Job]] = {}

    def append(self, key: Hashable, job: _Job) -> None:
        self._jobs.setdefault(key, deque()).append(job)

    def clear(self) -> list[_Job]:
        jobs = [job for waiting in self._jobs.values() for job in waiting]
        self._jobs.clear()
        return jobs

    def first(self) -> _Job | None:
        return next(iter(self._jobs.values()))[0] if self._jobs else None

    def discard(self, key: Hashable, job: _Job) -> bool:
        """Remove a job; returns False if it is not waiting."""
        waiting = self._jobs.get(key, _NO_JOBS)
        if job not in waiting:
            return False
        waiting.remove(job)
        if not waiting:
            del self._jobs[key]
        return True

    def fits(self, job: _Job) -> bool:
        return not self.used or self.used + job.size <= self._room

    def start(self) -> None:
        """Take the first job, and give the next turn to the next key."""
        key, waiting = next(iter(self._jobs.items()))
        self.used += waiting.popleft().size
        del self._jobs[key]
        if waiting:
            self._jobs[key] = waiting  # at the end
