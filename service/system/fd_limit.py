"""Raises the limit of open files for the connections of a process."""

from __future__ import annotations

import resource

# Other open files: models, shared memory, the event loops of HTTP and gRPC, a GPU's devices. A worker with
# all shipped models has 40.
OTHER_FILES = 96


def raise_fd_limit(wanted: int) -> tuple[int, int]:
    """Raise the limit of open files so that `wanted` connections fit, as far as the system allows.

    Returns:
        the number of connections that fit, at most `wanted`, and the limit of open files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted, soft
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        soft = needed
    return max(0, min(wanted, soft - OTHER_FILES)), soft
