"""Reads the text of a request, and writes that of its response, outside the event loop if it is large."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ....inference.text_executor import TextExecutor
from ..request_metrics import RequestMetrics

T = TypeVar("T")


async def parse_text(
    texts: TextExecutor, request: RequestMetrics, job: Callable[[], T], *, size: int, memory: int
) -> T:
    """Charge `memory` to the request, and run a job that reads `size` bytes of it, by its deadline.

    Args:
        job: as for `TextExecutor.parse`, whose errors this raises too.
        memory: bytes of the copy that the job reads, and of its result.

    Raises:
        BudgetExceeded, PayloadTooLarge: the memory cannot be held, now or ever.
    """
    request.account.charge(memory)
    return await texts.parse(job, size=size, account=request.account, deadline=request.deadline)


async def write_text(texts: TextExecutor, request: RequestMetrics, job: Callable[[], T], *, size: int) -> T:
    """Run a job that writes about `size` bytes of the response; raises as `TextExecutor.run` does."""
    return await texts.run(job, size=size, account=request.account, deadline=request.deadline)
