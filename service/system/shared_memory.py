"""Tables of numbers in mapped files, through which the workers of a server read each other's numbers.

Adding to a number is one write to memory: no lock and no system call, tens of nanoseconds. Readers need no
lock either, because eight aligned bytes are never seen half written.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
import threading
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar, cast

logger = logging.getLogger(__name__)

N = TypeVar("N", int, float)

Floats: TypeAlias = "memoryview[float]"  # quoted because memoryview is generic only in the stubs
Ints: TypeAlias = "memoryview[int]"

# A file is a page: the number of bytes in use, then the rows. A row is the length of its key, its length, the
# key in UTF-8 padded to eight bytes, and the numbers.
_USED = struct.Struct("=Q")
_ROW = struct.Struct("=II")
PAGE_BYTES = 64 * 1024

# The owner of a table that all processes write.
ALL_PROCESSES = "all"


class SharedTable(Generic[N]):
    """Named rows of numbers, initially zero.

    By default each process writes rows of its own. `rows` yields those of all processes, including ended ones
    until `forget` removes their rows. With the owner ALL_PROCESSES, processes share one row for each key.

    If the disk is full, rows stay in the memory of this process, and an error is logged.

    Args:
        folder: the folder that the processes share; None keeps all rows in this process.
        kind: distinguishes the tables in a folder; contains no hyphen.
        owner: this process by default.
    """

    _format: ClassVar[Literal["d", "q"]]

    def __init__(self, folder: Path | None, kind: str, *, owner: str | None = None) -> None:
        self._folder = folder
        self._prefix = f"{kind}-{os.getpid() if owner is None else owner}-"
        self._has_one_writer = owner != ALL_PROCESSES
        self._kind = kind
        self._pages: list[_Page] = []
        self._rows: dict[tuple[str, int], memoryview[N]] = {}
        self._private: list[tuple[str, memoryview[N]]] = []
        self._lock = threading.Lock()
        self._full = False

    def row(self, key: str, length: int) -> memoryview[N]:
        """The row of this key and length, created if it does not exist; thread-safe."""
        with self._lock:
            numbers = self._rows.get((key, length))
            if numbers is None:
                numbers = self._rows[key, length] = self._find_or_create(key, length)
            return numbers

    def rows(self) -> Iterator[tuple[str, Sequence[N]]]:
        """Copies of the rows of all processes; a key occurs once for each process that has it."""
        for key, numbers in list(self._private):
            yield key, numbers.tolist()
        if self._folder is not None:
            for path in self._folder.glob(f"{self._kind}-*-[0-9]*"):
                with suppress(FileNotFoundError):  # removed by `forget` in the meantime
                    page = path.read_bytes()
                    for key, start, length in _entries(page, _USED.size):
                        yield key, cast("Sequence[N]", array(self._format, page[start : start + 8 * length]))

    def _find_or_create(self, key: str, length: int) -> memoryview[N]:
        if self._folder is not None and not self._full:
            try:
                # No lock for a single writer: a process that is stopped while it holds one blocks all others.
                with nullcontext() if self._has_one_writer else _locked(self._folder):
                    self._index_new_rows(self._folder)
                    found = self._rows.get((key, length))
                    return self._append(self._folder, key, length) if found is None else found
            except OSError as error:
                self._full = True
                logger.error(
                    "cannot extend %s* in %s (%s): its new numbers stay in this process",
                    self._prefix,
                    self._folder,
                    error.strerror,
                )
        numbers = self._as_numbers(memoryview(bytearray(8 * length)))
        self._private.append((key, numbers))
        return numbers

    def _index_new_rows(self, folder: Path) -> None:
        """Find the rows that were added to the files since the last call."""
        while True:
            if self._pages:
                page = self._pages[-1]
                for key, start, length in _entries(page.memory, page.indexed):
                    self._rows[key, length] = self._view(page, start, length)
                page.indexed = _used(page.memory)
            if not self._path(folder, len(self._pages)).exists():
                return
            self._pages.append(_Page(self._path(folder, len(self._pages)), PAGE_BYTES))

    def _append(self, folder: Path, key: str, length: int) -> memoryview[N]:
        encoded = key.encode()
        padded = encoded.ljust(_padded(len(encoded)), b"\0")
        size = _ROW.size + len(padded) + 8 * length
        if not self._pages or _used(self._pages[-1].memory) + size > len(self._pages[-1].memory):
            path = self._path(folder, len(self._pages))
            self._pages.append(_Page(path, max(PAGE_BYTES, _USED.size + size)))
        page = self._pages[-1]
        begin = _used(page.memory)
        _ROW.pack_into(page.memory, begin, len(encoded), length)
        page.memory[begin + _ROW.size : begin + size] = padded + bytes(8 * length)
        page.indexed = begin + size
        _USED.pack_into(page.memory, 0, page.indexed)  # last, so that no reader sees half a row
        return self._view(page, page.indexed - 8 * length, length)

    def _path(self, folder: Path, number: int) -> Path:
        return folder / f"{self._prefix}{number}"

    def _view(self, page: _Page, start: int, length: int) -> memoryview[N]:
        return self._as_numbers(memoryview(page.memory)[start : start + 8 * length])

    def _as_numbers(self, memory: memoryview[Any]) -> memoryview[N]:
        return cast("memoryview[N]", memory.cast(self._format))


class FloatTable(SharedTable[float]):
    """Rows of doubles."""

    _format = "d"


class IntTable(SharedTable[int]):
    """Rows of 64-bit integers."""

    _format = "q"


def forget(folder: Path, kind: str, pid: int) -> None:
    """Remove the rows that an ended process has written to the tables of this kind."""
    for path in folder.glob(f"{kind}-{pid}-*"):
        path.unlink(missing_ok=True)


class _Page:
    """A mapped file of at least `size` bytes.

    Its blocks are allocated at once: writing to a page without a block on a full disk would kill the process.

    Raises:
        OSError: the disk is full.
    """

    def __init__(self, path: Path, size: int) -> None:
        created = not path.exists()
        try:
            with path.open("a+b") as file:
                os.posix_fallocate(file.fileno(), 0, size)
                self.memory = mmap.mmap(file.fileno(), 0)
        except OSError:
            if created:
                path.unlink(missing_ok=True)
            raise
        self.indexed = _USED.size


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock for creating rows in this folder, against other processes and threads."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _used(page: mmap.mmap | bytes) -> int:
    """The bytes in use; a page that was just created may still be empty."""
    used: int = _USED.unpack_from(page)[0] if len(page) >= _USED.size else 0
    return max(used, _USED.size)


def _padded(size: int) -> int:
    return -(-size // 8) * 8


def _entries(page: mmap.mmap | bytes, start: int) -> Iterator[tuple[str, int, int]]:
    """Key, offset of the numbers and length of each row from the offset `start` on."""
    end = _used(page)
    while start < end:
        key_size, length = _ROW.unpack_from(page, start)
        start += _ROW.size
        key = page[start : start + key_size].decode()
        start += _padded(key_size)
        yield key, start, length
        start += 8 * length
