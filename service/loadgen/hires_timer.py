"""A timer with a finer resolution than the event loop's own, which rounds to milliseconds."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

CLOCK_MONOTONIC = 1
NONBLOCK_CLOEXEC = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)
# timerfd_settime(2): zero would disarm the timer.
MIN_SECONDS = 1e-9


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class HighResolutionTimer:
    """Calls `callback` once after each `set`; uses timerfd(2) on Linux and the loop's timer elsewhere."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._descriptor: int | None = None
        self._spec = _TimerSpec()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        if sys.platform == "linux":
            self._library = ctypes.CDLL(None, use_errno=True)
            descriptor = self._library.timerfd_create(CLOCK_MONOTONIC, NONBLOCK_CLOEXEC)
            if descriptor >= 0:
                self._descriptor = descriptor
                self._loop.add_reader(descriptor, self._on_expiry, descriptor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)

    def set(self, due: float) -> None:
        """Call back when `time.monotonic()` reaches `due`, or at once if it has passed."""
        seconds = max(due - time.monotonic(), MIN_SECONDS)
        if self._descriptor is None:
            self._timer = self._loop.call_later(seconds, self._callback)
            return
        whole = int(seconds)
        self._spec.value.seconds = whole
        self._spec.value.nanoseconds = max(int((seconds - whole) * 1e9), 1)
        self._library.timerfd_settime(self._descriptor, 0, ctypes.byref(self._spec), None)

    def _on_expiry(self, descriptor: int) -> None:
        os.read(descriptor, 8)
        self._callback()
