"""How many connections the operating system lets a process have: each is an open file."""

from __future__ import annotations

import logging
import resource

# What a server has open besides: models, shared pages, the loop's own, gRPC's.
RESERVED = 64
# More connections than are answered are held for a moment, to be told so.
_SPARE = 1.5

logger = logging.getLogger(__name__)


def room_for_connections(wanted: int) -> int:
    """Raise the process's limit of open files where it may be raised, and tell how many of `wanted` fit."""
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
        logger.warning("at most %d connections: no more than %d files may be open (ulimit -n)", room, needed)
    return min(room, wanted)
