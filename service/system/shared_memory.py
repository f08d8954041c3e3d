"""Files in memory, through which the workers of a server read each other's numbers."""

from __future__ import annotations

import logging
import mmap
import os
from pathlib import Path

logger = logging.getLogger(__name__)


def map_shared(path: Path, size: int) -> mmap.mmap:
    """A file of at least `size` bytes, new ones zero, as memory.

    Its room is taken at once: to write to a page for which a full disk has no room would kill the process.
    Where there is none, numbers are worth less than answers: the memory is then this process's own, which is
    logged.
    """
    try:
        with path.open("a+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        path.unlink(missing_ok=True)
        logger.error("%s cannot be made (%s): its numbers stay with this process", path, error.strerror)
        return mmap.mmap(-1, size)
