"""The supervisor's end of a worker process."""

from __future__ import annotations

import pickle
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess

from ..errors import ConvserveError
from ..lifecycle.message_socket import MessageSocket


@dataclass(slots=True)
class Worker:
    """A worker process.

    Attributes:
        status_pipe: receives None once the models are loaded, then the startup banner; or the error that
            prevented the start.
        messages: connects the coordinator with the worker.
        failures: consecutive processes of this worker that ended early.
    """

    process: ForkProcess
    status_pipe: Connection
    messages: MessageSocket
    started: float = field(default_factory=time.monotonic)
    failures: int = 0

    @property
    def pid(self) -> int:
        assert self.process.pid is not None  # the process has been started
        return self.process.pid

    @property
    def exit_error(self) -> ConvserveError | None:
        """The error that the process sent before it ended; None if it sent none."""
        last = None
        with suppress(EOFError, OSError, pickle.UnpicklingError):  # it may have been killed while it sent
            while self.status_pipe.poll():
                last = self.status_pipe.recv()
        return last if isinstance(last, ConvserveError) else None

    @property
    def exit_reason(self) -> str:
        """That error in parentheses; empty if there is none."""
        error = self.exit_error
        return "" if error is None else f" ({error})"

    def close(self) -> None:
        """Close what connects to a process that has ended."""
        self.process.close()
        self.status_pipe.close()
        self.messages.close()
