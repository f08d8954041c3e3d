"""Limits what this process may allocate for a while, so that an allocation fails instead of the process."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STATUS = Path("/proc/self/status")


@contextmanager
def limited_allocation(extra: int) -> Iterator[None]:
    """While the block runs, let all threads together allocate at most `extra` bytes in addition.

    An allocation beyond it fails: with MemoryError in Python, and with an error of their own in libraries.
    Has no effect where the kernel does not tell how much is allocated.
    """
    allocated = _allocated()
    if allocated is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [allocated + extra, *(each for each in (soft, hard) if each != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _allocated() -> int | None:
    """The bytes that RLIMIT_DATA counts; None if they are unknown."""
    try:
        match = re.search(r"^VmData:\s*(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if match is None else int(match[1]) * 1024
