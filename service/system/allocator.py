"""Settings of the C library's memory allocator."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

# Parameters of mallopt(3) in glibc.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
# Larger blocks, such as images and bodies, are mapped, and returned to the system when they are freed. By
# default glibc raises this threshold up to 32 MiB, keeps such blocks in its heap, and fragments it.
MMAP_BYTES = 1024 * 1024
# Free memory at the end of the heap that is kept.
TRIM_BYTES = 8 * 1024 * 1024


def return_large_blocks() -> bool:
    """Make the allocator return large freed blocks to the system; False if it is not glibc's."""
    mallopt = _function("mallopt")
    return mallopt is not None and bool(
        mallopt(M_MMAP_THRESHOLD, MMAP_BYTES) and mallopt(M_TRIM_THRESHOLD, TRIM_BYTES)
    )


def return_free_pages() -> bool:
    """Return all unused pages of the heap to the system; False if none, or if the allocator is not glibc's.

    It takes some milliseconds for each 100 MB, during which other threads wait for memory.
    """
    malloc_trim = _function("malloc_trim")
    return malloc_trim is not None and bool(malloc_trim(0))


def _function(name: str) -> Callable[..., int] | None:
    """A function of the C library; None in another C library, or on another system."""
    try:
        function: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
    return function
