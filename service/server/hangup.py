"""Tells the two meanings of SIGHUP apart: a terminal that is gone, and a request to reload files."""

from __future__ import annotations

import os
import signal
from types import FrameType

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


def handle_early_hangups() -> None:
    """Until the server has a handler of its own, SIGHUP ends the process only if its terminal is gone.

    A request to reload files needs no action: the files are read after it.
    """
    if hangup_is_ignored():
        return
    terminal = Terminal()

    def handle(sig: int, frame: FrameType | None) -> None:
        if terminal.lost:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)

    signal.signal(signal.SIGHUP, handle)


def _has_terminal() -> bool:
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
