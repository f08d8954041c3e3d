"""A plan carried out by generators in processes of their own, and what the server spent meanwhile."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Collection
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType
from typing import Self

from ..errors import RemoteServerError
from .generator import generate
from .process_stats import cpu_seconds, family
from .results.answer_checker import Tally
from .results.measurement import Measurement
from .types import Plan

# From the call until the first request, for the connections to be made.
LEAD_SECONDS = 0.25
CONNECTIONS_A_LEAD_SECOND = 1000
# While the window is open: soon enough to see that a generator has failed.
MAX_SLEEP_SECONDS = 0.1


class Load:
    """Processes that carry out plans, started once and used for many of them.

    Args:
        generators: how many share a plan; one asks for some 25,000 answers a second of a core.
    """

    def __init__(self, generators: int = 1) -> None:
        self._count = generators

    def __enter__(self) -> Self:
        # Never forked: the caller may hold threads and loops.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(self._count, mp_context=context)
        for each in [self._pool.submit(time.sleep, 0) for _ in range(self._count)]:
            each.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, plan: Plan, server: Collection[int] = ()) -> Measurement:
        """
        Args:
            server: processes whose CPU time is counted, with those that descend from them.

        Raises:
            RemoteServerError: the server cannot be reached.
        """
        count = min(self._count, plan.connections)
        begin = time.monotonic() + LEAD_SECONDS + plan.connections / CONNECTIONS_A_LEAD_SECOND
        parts = [self._pool.submit(_generate, plan.share(i, count, begin)) for i in range(count)]
        spent = _watch(begin + plan.warm_up, plan.seconds, parts, server)
        tally = Tally()
        try:
            for part in parts:
                tally.add(part.result())
        except OSError as error:
            address = plan.requests.address
            raise RemoteServerError(f"{address.host}:{address.port} cannot be asked: {error}") from error
        return Measurement.of(plan, tally, spent if server else None)


def _watch(opens: float, seconds: float, parts: list[Future[Tally]], server: Collection[int]) -> float:
    """The server's CPU time in the window; it ends early with the first generator that fails."""
    spent: list[float] = []
    for moment in (opens, opens + seconds):
        while (left := moment - time.monotonic()) > 0 and not any(part.done() for part in parts):
            time.sleep(min(left, MAX_SLEEP_SECONDS))
        spent.append(cpu_seconds(family(server)))
    return spent[1] - spent[0]


def _generate(plan: Plan) -> Tally:
    """In a process of its own."""
    if sys.platform == "win32":
        return asyncio.run(generate(plan))
    import uvloop

    return uvloop.run(generate(plan))
