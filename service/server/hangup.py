"""Tells the two meanings of SIGHUP apart: a terminal that is gone, and a request to reload files."""

from __future__ import annotations

import os
import signal

_TERMINAL = "/dev/tty"


class Terminal:
    """The controlling terminal that this process has when the object is created, if it has one."""

    def __init__(self) -> None:
        self._existed = _has_terminal()

    @property
    def lost(self) -> bool:
        """True if there was a terminal and it is gone, such as after the end of an SSH session."""
        return self._existed and not _has_terminal()


def hangup_is_ignored() -> bool:
    """True if SIGHUP is ignored, as `nohup` has programs start."""
    return signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def _has_terminal() -> bool:
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
