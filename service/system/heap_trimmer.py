"""Returns the free pages of the heap to the system after the memory of the process has changed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress

from .allocator import return_free_pages

# The heap is trimmed when the memory that no client explains has changed by so much, and not more often.
MIN_CHANGE_BYTES = 24 * 1024 * 1024
MIN_SECONDS = 10.0
# It is trimmed once more after so many seconds, as most of what a burst has left behind is freed by then.
AGAIN_SECONDS = 30.0


def resident_bytes() -> int | None:
    """The resident memory of this process; None if the system does not tell it."""
    with suppress(OSError), open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


class HeapTrimmer:
    """Trims the heap in a thread, as bursts of requests leave it in pieces that the allocator keeps.

    Args:
        held: returns the bytes that are in use for clients.
        resident: returns the resident bytes of the process; None if they are unknown.
        trim: returns free pages to the system.
    """

    def __init__(
        self,
        held: Callable[[], int],
        *,
        resident: Callable[[], int | None] = resident_bytes,
        trim: Callable[[], object] = return_free_pages,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._held = held
        self._resident = resident
        self._trim = trim
        self._clock = clock
        self._trimmed = True  # at the start there is nothing to trim
        self._reference = 0
        self._next = 0.0
        self._again = float("inf")

    def check(self) -> None:
        """Trim if the memory has changed since the last time; to be called once a second."""
        now = self._clock()
        if now < self._next or (resident := self._resident()) is None:
            return
        unexplained = resident - self._held()
        if self._trimmed:
            self._reference, self._trimmed = unexplained, False
            return
        changed = abs(unexplained - self._reference) > MIN_CHANGE_BYTES
        if changed or now >= self._again:
            self._trimmed = True
            self._next = now + MIN_SECONDS
            self._again = now + AGAIN_SECONDS if changed else float("inf")
            asyncio.get_running_loop().run_in_executor(None, self._trim)
