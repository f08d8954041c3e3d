"""Saves coverage data when a process ends itself by a signal.

`make coverage` puts this folder on PYTHONPATH. A server raises the signal that stopped it, so the exit
handlers that save coverage do not run.
"""

from __future__ import annotations

import signal

import coverage


def _save_and_raise(number: int) -> None:
    current = coverage.Coverage.current()
    if current is not None and signal.getsignal(number) is signal.SIG_DFL:
        current.stop()
        current.save()
    _raise_signal(number)


_raise_signal = signal.raise_signal
signal.raise_signal = _save_and_raise
