"""A process that forks others, which share the memory of the modules that it has imported."""

from __future__ import annotations

import gc
import os
import signal
import socket
import struct
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from .job_process import JobProcess, run_jobs, set_process_name

# A request to the template: FORK, or a process to end. The response to FORK is a process, 0 if there is none.
_NUMBER = struct.Struct("=q")
FORK = 0
NAME = "convserve-fork"
_DESCRIPTORS = Path("/proc/self/fd")


class TemplateEnded(Exception):
    """The template has ended, or it cannot fork."""


class Template:
    """A forked copy of this process, which forks others on request.

    It has to be created before this process has threads, which do not survive a fork. It ends with this
    process, and ends the processes that it has forked.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control, control = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            _main(control)
        control.close()

    @staticmethod
    def supported() -> bool:
        """True if this system can fork without harm."""
        return sys.platform == "linux"

    def fork(self) -> JobProcess:
        """
        Raises:
            TemplateEnded: there is no other process.
        """
        near, far = socket.socketpair()
        try:
            with far, self._lock:
                socket.send_fds(self._control, [_NUMBER.pack(FORK)], [far.fileno()])
                response = self._control.recv(_NUMBER.size)
            if len(response) < _NUMBER.size or not (pid := _NUMBER.unpack(response)[0]):
                raise TemplateEnded
        except (OSError, TemplateEnded) as error:
            near.close()
            raise TemplateEnded from error
        return JobProcess(pid, near)

    def end(self, process: JobProcess) -> None:
        """Kill a process, without waiting for its end."""
        process.close()
        # A template that has ended has ended its processes too.
        with suppress(OSError), self._lock:
            self._control.sendall(_NUMBER.pack(process.pid))

    def close(self) -> None:
        """End the template and its processes."""
        self._control.close()
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _main(control: socket.socket) -> NoReturn:
    """The main function of the template."""
    processes: set[int] = set()
    try:
        _set_up(control)
        while True:
            message, descriptors, _, _ = socket.recv_fds(control, _NUMBER.size, 1)
            if len(message) < _NUMBER.size:
                break  # the server has ended
            (number,) = _NUMBER.unpack(message)
            if number == FORK:
                pid = _fork(control, descriptors[0])
                processes.add(pid)
                control.sendall(_NUMBER.pack(pid))
            else:
                _end(number)
                processes.remove(number)
    finally:
        for pid in processes - {0}:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        os._exit(0)


def _set_up(control: socket.socket) -> None:
    # The server ends its processes, also if a signal goes to all of them. Forked processes ignore it too.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    # A listening socket stays open as long as any process has it.
    kept = {0, 1, 2, control.fileno()}
    for descriptor in [int(entry.name) for entry in _DESCRIPTORS.iterdir()]:
        if descriptor not in kept:
            with suppress(OSError):
                os.close(descriptor)
    set_process_name(NAME)
    # A collection writes to the objects that it visits, and the kernel copies pages that are written to.
    gc.disable()
    gc.freeze()


def _fork(control: socket.socket, descriptor: int) -> int:
    try:
        pid = os.fork()
    except OSError:  # too many processes, or too little memory
        pid = 0
    else:
        if pid == 0:
            try:
                control.close()
                run_jobs(socket.socket(fileno=descriptor))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
    os.close(descriptor)
    return pid


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)
