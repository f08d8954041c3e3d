"""Numbers of one process in memory that the other workers of a server can read.

A number is written by adding to eight bytes of a mapped file: no lock, no call into the kernel, tens of
nanoseconds. One thread writes, the event loop's; anybody may read meanwhile, for eight aligned bytes are
never seen half written.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from ..system.shared_memory import map_shared

# A file begins with the number of its bytes that are in use. Then follow the entries: the length of the
# key and the count of numbers, the key in UTF-8 filled up to eight bytes, and the numbers.
_USED = struct.Struct("=Q")
_ENTRY = struct.Struct("=II")
PAGE_BYTES = 64 * 1024

Numbers: TypeAlias = "memoryview[float]"  # in quotes, for it is in the stubs alone that it is generic

# What a process has counted stays in every sum when it ends; the state it was in does not.
COUNTS = "counts"
GAUGES = "gauges"


class SharedValues:
    """Rows of numbers, each under a key.

    Args:
        shared: the folder through which the workers read each other's numbers; None keeps them
            to this process.
        kind: tells the sheets of one process apart; no hyphen in it.
    """

    def __init__(self, shared: Path | None, kind: str) -> None:
        self._shared = shared
        self._kind = kind
        self._own: list[tuple[str, Numbers]] = []
        self._page: mmap.mmap | None = None
        self._pages = 0
        self._lock = threading.Lock()

    def allocate(self, key: str, length: int) -> Numbers:
        """A new row of zeros, to be asked for once a key; any thread may ask."""
        with self._lock:
            if self._shared is None:
                numbers = memoryview(bytearray(8 * length)).cast("d")
            else:
                numbers = self._append(self._shared, key.encode(), length)
            self._own.append((key, numbers))
            return numbers

    def rows(self) -> Iterator[tuple[str, Sequence[float]]]:
        """Every row of every worker, those that have ended included; a key comes once for each of them."""
        if self._shared is None:
            yield from ((key, numbers.tolist()) for key, numbers in list(self._own))
            return
        for path in self._shared.glob(f"{self._kind}-[0-9]*"):
            with suppress(FileNotFoundError):  # forgotten this moment
                yield from _entries(path.read_bytes())

    def _append(self, folder: Path, key: bytes, length: int) -> Numbers:
        padded = key.ljust(-(-len(key) // 8) * 8)
        size = _ENTRY.size + len(padded) + 8 * length
        if self._page is None or _used(self._page) + size > len(self._page):
            self._page = self._new_page(folder, max(PAGE_BYTES, _USED.size + size))
        start = _used(self._page)
        _ENTRY.pack_into(self._page, start, len(key), length)
        first = start + _ENTRY.size + len(padded)
        self._page[start + _ENTRY.size : first] = padded
        _USED.pack_into(self._page, 0, start + size)  # last, so that no reader sees half an entry
        return memoryview(self._page)[first : start + size].cast("d")

    def _new_page(self, folder: Path, size: int) -> mmap.mmap:
        path = folder / f"{self._kind}-{os.getpid()}-{self._pages}"
        self._pages += 1
        page = map_shared(path, size)
        _USED.pack_into(page, 0, _USED.size)
        return page


def forget(shared: Path, kind: str, pid: int) -> None:
    """Take the numbers of this kind of a process that has ended out of every sum."""
    for path in shared.glob(f"{kind}-{pid}-*"):
        path.unlink(missing_ok=True)


def _used(page: mmap.mmap | bytes) -> int:
    used: int = _USED.unpack_from(page)[0]
    return used


def _entries(page: bytes) -> Iterator[tuple[str, Sequence[float]]]:
    # A page that was made a moment ago may still be empty.
    end = _used(page) if len(page) >= _USED.size else 0
    at = _USED.size
    while at < end:
        key_length, length = _ENTRY.unpack_from(page, at)
        at += _ENTRY.size
        key = page[at : at + key_length].decode()
        at += -(-key_length // 8) * 8
        yield key, array("d", page[at : at + 8 * length])
        at += 8 * length
