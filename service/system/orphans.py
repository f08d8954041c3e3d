"""Reaps the processes that process 1 of a container inherits."""

from __future__ import annotations

import os
from collections.abc import Container
from contextlib import suppress


def reap_orphans(own: Container[int]) -> None:
    """Reap the children of this process that have ended, except `own`, which it has started itself.

    Processes whose parent ends become children of process 1, and stay in the table of processes until they
    are reaped. Stops at an ended process of `own`, which its starter has to reap first.
    """
    with suppress(ChildProcessError):  # there are no children
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in own:
                break
            os.waitpid(ended.si_pid, 0)
