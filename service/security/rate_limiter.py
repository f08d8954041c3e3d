"""Rate limits of API keys, shared by all workers."""

from __future__ import annotations

import time
from pathlib import Path

from ..system.shared_memory import ALL_PROCESSES, Ints, IntTable


class RateLimiter:
    """A token bucket for each name, by the generic cell rate algorithm (ITU-T I.371, annex A).

    The state of a bucket is the time at which it will be full again, in nanoseconds of the monotonic clock,
    which all processes of a machine share. Writes take no lock: two requests in the same microsecond may both
    be admitted.

    Args:
        shared: folder of the workers' tables; None keeps the buckets in this process.
    """

    def __init__(self, shared: Path | None) -> None:
        self._table = IntTable(shared, "rates", owner=ALL_PROCESSES)
        self._full_at: dict[str, Ints] = {}

    def take(self, name: str, rate: float) -> float:
        """Count a request of a name that may make `rate` a second, with bursts of one second's worth.

        Returns:
            0 if the request is admitted, otherwise the seconds after which one would be.
        """
        full_at = self._full_at.get(name)
        if full_at is None:
            full_at = self._full_at[name] = self._table.row(name, 1)
        now = time.monotonic_ns()
        interval = int(1e9 / rate)
        latest = now + max(int(1e9), interval) - interval
        refilled = max(now, full_at[0])
        if refilled > latest:
            return (refilled - latest) / 1e9
        full_at[0] = refilled + interval
        return 0.0
