"""Parses the large texts of requests in a process, and writes those of responses in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import TypeVar

from ..client_budget import Account
from ..errors import DeadlineExceeded
from ..imaging.fair_executor import FairExecutor
from ..process_pool.pool import ProcessPool

T = TypeVar("T")

# Handing a smaller job to the thread and back takes longer than the job.
INLINE_BYTES = 32 * 1024


class TextExecutor:
    """One thread that writes, and one process that parses; clients take turns for each.

    A second thread would not write more: writers hold the interpreter. Their jobs consist of calls that hold
    it for a few milliseconds at most, between which the event loop runs.
    """

    def __init__(self, processes: ProcessPool | None = None) -> None:
        self._processes = processes or ProcessPool()
        self._writer = FairExecutor(1, "writer")
        self._parser = FairExecutor(1, "parser")

    def close(self) -> None:
        self._writer.close()
        self._parser.close()

    async def run(self, job: Callable[[], T], *, size: int, account: Account, deadline: float) -> T:
        """Run a job that reads or writes `size` bytes in the thread; a small one in the event loop.

        Args:
            account: the peer that takes turns with others.
            deadline: in the event loop's time; a job is not begun after it.

        Raises:
            DeadlineExceeded: the deadline passed before the job was done.
        """
        if size <= INLINE_BYTES:
            return job()
        return await _in_turn(self._writer, job, account, deadline, evictable=False)

    async def parse(self, job: Callable[[], T], *, size: int, account: Account, deadline: float) -> T:
        """Run a job that reads `size` bytes of a request in the process; a small one in the event loop.

        Args:
            job: it, its arguments and its result can be pickled.
            account: as for `run`; it may be evicted until the job begins.
            deadline: in the event loop's time; a job is stopped at it.

        Raises:
            BudgetExceeded: the request was evicted.
            DeadlineExceeded: the deadline passed before the job was done.
            InferenceFailed: the process has crashed, or was killed.
        """
        if size <= INLINE_BYTES:
            return job()
        stopped = Event()
        call = partial(self._processes.call, job, stopped.is_set)
        try:
            return await _in_turn(self._parser, call, account, deadline, evictable=True)
        finally:
            stopped.set()


async def _in_turn(
    executor: FairExecutor, job: Callable[[], T], account: Account, deadline: float, *, evictable: bool
) -> T:
    try:
        async with asyncio.timeout_at(deadline):
            return await executor.run(account.peer, job, account=account if evictable else None)
    except TimeoutError as error:
        raise DeadlineExceeded("the deadline passed before the request was read or written") from error
