"""Ends a process that does not end by itself in time."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

logger = logging.getLogger(__name__)


def exit_after(seconds: float, ended_by: signal.Signals) -> None:
    """End this process if it still runs after `seconds`, with the code that a shell reports for the signal.

    A thread does it, because the event loop may be what waits: for a thread inside a codec, for an engine, or
    for a connection inside a library.
    """

    def end() -> None:
        time.sleep(seconds)
        logger.error("the server did not end within its shutdown timeout and is ended")
        os._exit(128 + ended_by)

    threading.Thread(target=end, name="exit deadline", daemon=True).start()
