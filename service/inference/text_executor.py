"""Parses and writes the large texts of requests and responses in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from ..client_budget import Account
from ..errors import DeadlineExceeded
from ..imaging.fair_executor import FairExecutor

T = TypeVar("T")

# Handing a smaller job to the thread and back takes longer than the job.
INLINE_BYTES = 32 * 1024


class TextExecutor:
    """One thread, in which clients take turns.

    A second thread would not parse more: parsers hold the interpreter. Jobs consist of calls that hold it for
    a few milliseconds at most, between which the event loop runs.
    """

    def __init__(self) -> None:
        self._executor = FairExecutor(1, "text")

    def close(self) -> None:
        self._executor.close()

    async def run(self, job: Callable[[], T], *, size: int, account: Account, deadline: float) -> T:
        """Run a job that reads or writes `size` bytes; a small one at once, in the event loop.

        Args:
            account: the peer that takes turns with others.
            deadline: in the event loop's time; a job is not begun after it.

        Raises:
            DeadlineExceeded: the deadline passed before the job was done.
        """
        if size <= INLINE_BYTES:
            return job()
        try:
            async with asyncio.timeout_at(deadline):
                return await self._executor.run(account.peer, job)
        except TimeoutError as error:
            raise DeadlineExceeded("the deadline passed before the request was read or written") from error
