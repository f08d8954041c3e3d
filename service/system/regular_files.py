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


def open_regular(path: Path, max_bytes: int) -> BufferedReader:
    """Open a regular file of at most `max_bytes` for reading; symbolic links are followed.

    Raises:
        OSError: the file cannot be opened, is of another kind, or is larger.
    """
    # Before it is opened: opening a device can have effects of its own.
    _check_regular(path, path.stat(), max_bytes)
    # If another process replaces the file by a FIFO in between, O_NONBLOCK keeps `open` from waiting.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_regular(path, os.fstat(descriptor), max_bytes)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file of at most `max_bytes`.

    Raises:
        OSError: as `open_regular`.
    """
    with open_regular(path, max_bytes) as file:
        # Not `read()`: some files, such as those of /proc, are longer than their size says.
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise _too_large(path, max_bytes)
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


def _check_regular(path: Path, status: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    if status.st_size > max_bytes:
        raise _too_large(path, max_bytes)


def _too_large(path: Path, max_bytes: int) -> OSError:
    return OSError(errno.EFBIG, f"it is larger than {max_bytes:,} bytes", str(path))
