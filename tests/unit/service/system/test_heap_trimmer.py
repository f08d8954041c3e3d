from __future__ import annotations

import asyncio

from service.system.heap_trimmer import MIN_CHANGE_BYTES, MIN_SECONDS, HeapTrimmer, resident_bytes
from tests.support.manual_clock import ManualClock
from tests.support.server.procfs import needs_procfs


class Process:
    """A process whose memory the test sets."""

    def __init__(self) -> None:
        self.resident = 100 * MIN_CHANGE_BYTES
        self.held = 0
        self.trims = 0
        self.clock = ManualClock()
        self.trimmer = HeapTrimmer(
            lambda: self.held, resident=lambda: self.resident, trim=self.trim, clock=self.clock
        )

    def trim(self) -> None:
        self.trims += 1

    def seconds(self, count: int) -> int:
        """Check once a second; returns the number of trims so far."""
        for _ in range(count):
            self.clock.advance(1)
            self.trimmer.check()
        return self.trims


def trims_after(change: int, held: int = 0) -> int:
    """The number of trims after the memory has changed once."""
    process = Process()

    async def main() -> None:
        process.seconds(2)
        process.resident += change
        process.held += held
        process.seconds(100)
        await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(main())
    return process.trims


def test_heap_is_trimmed_and_once_more_after_memory_has_grown_or_fallen() -> None:
    assert trims_after(MIN_CHANGE_BYTES + 1) == 2
    assert trims_after(-MIN_CHANGE_BYTES - 1) == 2
    assert trims_after(MIN_CHANGE_BYTES) == 0


def test_memory_in_use_for_clients_is_not_trimmed() -> None:
    assert trims_after(2 * MIN_CHANGE_BYTES, held=2 * MIN_CHANGE_BYTES) == 0


def test_growing_memory_is_trimmed_at_most_every_few_seconds() -> None:
    process = Process()

    async def main() -> None:
        process.seconds(2)
        for _ in range(60):
            process.resident += 2 * MIN_CHANGE_BYTES
            process.seconds(1)
        await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(main())
    assert 2 <= process.trims <= 60 / MIN_SECONDS + 1


@needs_procfs
def test_resident_memory_is_read_from_the_system() -> None:
    resident = resident_bytes()
    assert resident is not None
    assert resident > 1024 * 1024
