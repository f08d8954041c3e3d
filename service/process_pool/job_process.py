"""A process that runs jobs for the server, one after another, and the server's end of it."""

from __future__ import annotations

import gc
import os
import socket
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ..errors import ConvserveError
from .channel import Channel

NAME = "convserve-job"
# An event loop that wants the processor gets it nearly all the time.
NICENESS = 19
# Added to the process's score when memory is short, so that the kernel ends a job rather than a server.
OOM_SCORE = 500
# The time between two looks at whether a call is still wanted.
CHECK_SECONDS = 0.05


class ProcessEnded(Exception):
    """The process has ended before the call."""


class CallStopped(Exception):
    """The call was not wanted any more."""


class Returned(NamedTuple):
    value: Any


class Raised(NamedTuple):
    error: Exception


class JobProcess:
    """The server's end of a process.

    Attributes:
        pid: the process.
        used: when the last call ended, by the monotonic clock.
    """

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self.used = 0.0
        self._channel = Channel(connection)

    @property
    def has_ended(self) -> bool:
        """True if an idle process has ended by itself."""
        return self._channel.ready(0)

    def call(self, job: Callable[[], Any], stopped: Callable[[], bool]) -> Returned | Raised:
        """Call a function in the process. After an exception the process has to be killed.

        Args:
            job: it, its arguments and its result can be pickled.
            stopped: becomes true when the result is not wanted any more.

        Raises:
            CallStopped: the result was not wanted any more.
            ProcessEnded: the process has crashed, or was killed.
        """
        try:
            self._channel.send(job)
            while not self._channel.ready(CHECK_SECONDS):
                if stopped():
                    raise CallStopped
            answer: Returned | Raised = self._channel.receive()
        except (EOFError, OSError) as error:
            raise ProcessEnded from error
        return answer

    def close(self) -> None:
        self._channel.close()


def run_jobs(connection: socket.socket) -> NoReturn:
    """The main function of the process: run jobs until the other end closes."""
    _set_up()
    channel = Channel(connection)
    with suppress(EOFError, OSError):
        while True:
            _answer(channel)
    os._exit(0)


def _answer(channel: Channel) -> None:
    job: Callable[[], Any] = channel.receive()
    answer: Returned | Raised
    try:
        answer = Returned(job())
    except Exception as error:
        if not isinstance(error, ConvserveError):
            error.add_note(traceback.format_exc())  # the frames stay in this process
        answer = Raised(error)
    channel.send(answer)


def set_process_name(name: str) -> None:
    """Set the name of this process as `ps` shows it."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def _set_up() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    set_process_name(NAME)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    gc.enable()
