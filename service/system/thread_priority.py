"""Lowers the priority of threads, so that the event loop goes before them."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

# While both want the processor, a thread of this niceness gets a tenth of the time of an ordinary one.
NICENESS = 10


def lower_priority() -> None:
    """Lower the priority of the calling thread; only Linux has priorities of threads."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
