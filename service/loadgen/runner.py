"""Runs a plan in generator processes and measures the server's CPU time meanwhile."""

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
from .process_stats import cpu_seconds, process_tree
from .results.measurement import Measurement
from .results.response_checker import Tally
from .types import Plan

# Time to open the connections before the first request.
LEAD_SECONDS = 0.25
CONNECTIONS_PER_LEAD_SECOND = 1000
# Short enough to notice a failed generator quickly.
MAX_SLEEP_SECONDS = 0.1


class LoadRunner:
    """Generator processes, started once and used for many plans.

    Args:
        generators: processes that share each plan; on one core, each sends about 25,000 requests per second.
    """

    def __init__(self, generators: int = 1) -> None:
        self._count = generators

    def __enter__(self) -> Self:
        # Spawned, because the caller may hold threads and event loops.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(self._count, mp_context=context)
        for started in [self._pool.submit(time.sleep, 0) for _ in range(self._count)]:
            started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, plan: Plan, server: Collection[int] = ()) -> Measurement:
        """Run one plan.

        Args:
            server: processes whose CPU time is counted, with that of their descendants.

        Raises:
            RemoteServerError: the server cannot be reached.
        """
        count = min(self._count, plan.connections)
        begin = time.monotonic() + LEAD_SECONDS + plan.connections / CONNECTIONS_PER_LEAD_SECOND
        parts = [self._pool.submit(_generate, plan.share(i, count, begin)) for i in range(count)]
        server_cpu = _server_cpu(begin + plan.warm_up, plan.seconds, parts, server)
        tally = Tally()
        try:
            for part in parts:
                tally.add(part.result())
        except OSError as error:
            address = plan.requests.address
            raise RemoteServerError(f"cannot reach {address.host}:{address.port}: {error}") from error
        return Measurement.of(plan, tally, server_cpu if server else None)


def _server_cpu(opens: float, seconds: float, parts: list[Future[Tally]], server: Collection[int]) -> float:
    """The server's CPU seconds during the measurement, which ends early when a generator fails."""
    readings: list[float] = []
    for moment in (opens, opens + seconds):
        while (left := moment - time.monotonic()) > 0 and not any(part.done() for part in parts):
            time.sleep(min(left, MAX_SLEEP_SECONDS))
        readings.append(cpu_seconds(process_tree(server)))
    return readings[1] - readings[0]


def _generate(plan: Plan) -> Tally:
    """Run a share of a plan in a generator process."""
    if sys.platform == "win32":
        return asyncio.run(generate(plan))
    import uvloop

    return uvloop.run(generate(plan))
