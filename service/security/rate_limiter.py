"""How often a name may ask, counted over all workers."""

from __future__ import annotations

import time
from pathlib import Path

from ..system.shared_memory import map_shared


class RateLimiter:
    """A token bucket a name, in the form of the generic cell rate algorithm (ITU-T I.371, annex A).

    All there is to a bucket is the time at which it will be full again, in nanoseconds of the monotonic
    clock, which is one for all processes of a machine. It lies in a file of eight bytes that the workers
    share. They take no lock: two that ask in the same microsecond may both be let in.

    Args:
        shared: the folder of the workers' files; None keeps the buckets to this process.
    """

    def __init__(self, shared: Path | None) -> None:
        self._shared = shared
        self._full_at: dict[str, memoryview] = {}

    def take(self, name: str, rate: float) -> float:
        """One request of a name that may ask `rate` times a second, and a second's worth at once.

        Returns:
            0 if it is let in, else the seconds until one would be.
        """
        full_at = self._full_at.get(name)
        if full_at is None:
            full_at = self._full_at[name] = self._open(name)
        now = time.monotonic_ns()
        interval = int(1e9 / rate)
        latest = now + max(int(1e9), interval) - interval
        refilled = max(now, full_at[0])
        if refilled > latest:
            return (refilled - latest) / 1e9
        full_at[0] = refilled + interval
        return 0.0

    def _open(self, name: str) -> memoryview:
        if self._shared is None:
            return memoryview(bytearray(8)).cast("q")
        return memoryview(map_shared(self._shared / f"rate-{name}", 8)).cast("q")
