"""Raises the limit of open files for the connections of a process."""

from __future__ import annotations

import logging
import resource

# Other open files: models, shared memory, the event loop, gRPC.
RESERVED = 64
# Connections beyond the limit stay open for a moment, until their error response is sent.
_SPARE = 1.5

logger = logging.getLogger(__name__)


def raise_fd_limit(wanted: int) -> int:
    """Raise the limit of open files if possible; returns how many of the `wanted` connections it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = int(wanted * _SPARE) + RESERVED
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    room = max(1, int((max(soft, needed) - RESERVED) / _SPARE))
    if room < wanted:
        logger.warning(
            "max_connections lowered to %d: at most %d files may be open (ulimit -n)", room, needed
        )
    return min(room, wanted)
