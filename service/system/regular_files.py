"""Opens and reads regular files of bounded size.

A FIFO, a device or a socket in place of a file could block the process, or never end.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from tempfile import NamedTemporaryFile

_DESCRIPTORS = Path("/proc/self/fd")
# Read at a time from a file that is longer than its size says, such as those of /proc.
_BLOCK_BYTES = 1 << 14


def open_regular(path: Path, max_bytes: int) -> BufferedReader:
    """Open a regular file of at most `max_bytes` for reading; symbolic links are followed.

    Raises:
        OSError: the file cannot be opened, is of another kind, or is larger.
    """
    descriptor, _ = _open(path, max_bytes)
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path | str, max_bytes: int, *, is_device_unlikely: bool = False) -> bytes:
    """The content of a regular file of at most `max_bytes`.

    Args:
        is_device_unlikely: examine the file only after it has been opened, which saves a quarter of the time
            for a small file.

    Raises:
        OSError: as `open_regular`.
    """
    # No buffered file object: creating one takes longer than reading a small image.
    descriptor, size = _open(path, max_bytes, opened_first=is_device_unlikely)
    try:
        content = os.read(descriptor, size + 1)
        # A read that ends at the size, although it asked for more, has reached the end.
        at_end = len(content) == size
        while not at_end and (block := os.read(descriptor, _BLOCK_BYTES)):
            content += block
            if len(content) > max_bytes:
                raise _too_large(path, max_bytes)
    finally:
        os.close(descriptor)
    return content


@contextmanager
def private_file(content: bytes) -> Iterator[Path]:
    """A path of a file with this content, for libraries that read only from paths.

    On Linux the file is in memory only. Elsewhere it is a temporary file that only this user may read.
    """
    if hasattr(os, "memfd_create") and _DESCRIPTORS.exists():
        descriptor = os.memfd_create("convserve", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            yield _DESCRIPTORS / str(descriptor)
    else:
        with NamedTemporaryFile() as named:
            named.write(content)
            named.flush()
            yield Path(named.name)


def _open(path: Path | str, max_bytes: int, *, opened_first: bool = False) -> tuple[int, int]:
    """The descriptor of a regular file, and its size."""
    if not opened_first:
        # Opening a device can have effects of its own.
        _check_regular(path, os.stat(path), max_bytes)
    # If another process replaces the file by a FIFO in between, O_NONBLOCK keeps `open` from waiting.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        _check_regular(path, status, max_bytes)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status.st_size


def _check_regular(path: Path | str, status: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    if status.st_size > max_bytes:
        raise _too_large(path, max_bytes)


def _too_large(path: Path | str, max_bytes: int) -> OSError:
    return OSError(errno.EFBIG, f"it is larger than {max_bytes:,} bytes", str(path))
