"""Several server processes on one port: forked, watched, replaced and ended together."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import FrameType

from ..config.settings import Settings
from ..errors import ConvserveError, NothingToServe
from ..system.shared_memory import forget
from ..system.sockets import bind
from ..telemetry.collector import GAUGES
from .haste import STOP_AT_ONCE
from .startup_banner import StartupBanner

STARTUP_FAILED = 3
MAX_RESTART_SECONDS = 30.0
STEADY_SECONDS = 60.0
_HANDLED = (signal.SIGTERM, signal.SIGINT)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Worker:
    """One place among the workers, and the process that fills it now."""

    process: ForkProcess
    news: Connection
    started: float = field(default_factory=time.monotonic)
    failures: int = 0


class Supervisor:
    """Keeps `settings.workers` processes alive until a signal comes.

    Each worker binds its own socket with SO_REUSEPORT, so that the kernel deals connections out evenly and
    takes a dead worker out of the deal by itself. The supervisor imports what a worker needs, which
    the workers then share and need not import again. It loads no model and takes no request, and so has no
    thread that a fork could cut short.
    """

    def __init__(self, settings: Settings, listener: socket.socket, grpc_address: str | None) -> None:
        """`listener` is bound with SO_REUSEPORT and never listens: it keeps the port while workers change.

        `grpc_address`, if there is to be gRPC, is kept by the caller in the same way.
        """
        self._settings = settings
        self._port = listener.getsockname()[1]
        self._grpc_address = grpc_address
        self._context = multiprocessing.get_context("fork")
        self._workers: dict[int, _Worker] = {}
        self._restarts: dict[int, tuple[float, int]] = {}
        self._metrics_dir = Path()
        self._ended_by: signal.Signals | None = None
        self._in_haste = False

    def run(self, announce: Callable[[StartupBanner], None]) -> signal.Signals | None:
        """Start the workers and stay until a signal comes; which one is the answer.

        Raises:
            NothingToServe: the first workers could not start.
        """
        with tempfile.TemporaryDirectory(prefix="convserve-metrics-") as folder:
            self._metrics_dir = Path(folder)
            wake, waker = socket.socketpair()
            alive, self._lifeline = socket.socketpair()
            self._gate, self._gatekeeper = socket.socketpair()
            with wake, waker, alive, self._lifeline, self._gate, self._gatekeeper:
                self._alive = alive.fileno()
                waker.setblocking(False)
                signal.set_wakeup_fd(waker.fileno())
                for wanted in _HANDLED:
                    signal.signal(wanted, self._end)
                try:
                    self._import()
                    if self._ended_by is None:
                        self._start_all(wake, announce)
                    self._watch(wake)
                finally:
                    signal.set_wakeup_fd(-1)
                    self._stop_all()
        return self._ended_by

    def _end(self, sig: int, frame: FrameType | None) -> None:
        if self._ended_by is not None and sig == signal.SIGINT:
            self._in_haste = True
            for worker in list(self._workers.values()):
                self._tell_to_stop(worker)
        self._ended_by = self._ended_by or signal.Signals(sig)

    def _tell_to_stop(self, worker: _Worker) -> None:
        """An interrupt does not wait until load balancers have noticed."""
        hasty = self._in_haste or self._ended_by == signal.SIGINT
        if worker.process.is_alive():
            assert worker.process.pid is not None
            os.kill(worker.process.pid, STOP_AT_ONCE if hasty else signal.SIGTERM)

    def _start(self, index: int, failures: int = 0) -> None:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=self._work, args=(theirs,), name=f"worker {index}")
        # Until a worker has its own handlers it has the supervisor's. What comes to either meanwhile comes a
        # moment later.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        theirs.close()
        self._workers[index] = _Worker(process, ours, failures=failures)

    def _import(self) -> None:
        """What the workers need, before the first of them is forked."""
        gc.disable()
        from . import server  # noqa: F401

        if self._grpc_address is not None:
            from ..protocols.grpc import server as grpc_server  # noqa: F401
        # Whoever looks for garbage writes to what it looks at, and what is written to is shared no longer.
        gc.freeze()
        gc.enable()

    def _start_all(self, wake: socket.socket, announce: Callable[[StartupBanner], None]) -> None:
        for index in range(self._settings.workers):
            self._start(index)
        self._hear_from_all(wake)  # that they have loaded their models
        self._gatekeeper.close()
        if announcements := self._hear_from_all(wake):
            announce(announcements[0])

    def _hear_from_all(self, wake: socket.socket) -> list[StartupBanner]:
        """The next that each worker tells; nothing if a signal comes first."""
        heard = []
        for worker in self._workers.values():
            multiprocessing.connection.wait([worker.news, wake])
            if self._ended_by is not None:
                return []
            try:
                news = worker.news.recv()
            except EOFError:
                raise NothingToServe("a worker died while starting") from None
            if isinstance(news, ConvserveError):
                raise news
            heard.append(news)
        return heard

    def _watch(self, wake: socket.socket) -> None:
        while self._ended_by is None:
            sentinels = [worker.process.sentinel for worker in self._workers.values()]
            due = [when for when, _ in self._restarts.values()]
            timeout = max(0.0, min(due) - time.monotonic()) if due else None
            multiprocessing.connection.wait([wake, *sentinels], timeout)
            if self._ended_by is None:
                self._reap()
                self._restart_the_due()

    def _reap(self) -> None:
        for index, worker in list(self._workers.items()):
            if worker.process.is_alive():
                continue
            assert worker.process.pid is not None
            forget(self._metrics_dir, GAUGES, worker.process.pid)
            lived = time.monotonic() - worker.started
            failures = 0 if lived > STEADY_SECONDS else worker.failures
            delay = min(MAX_RESTART_SECONDS, 0.1 * 4**failures) if failures else 0.0
            logger.error(
                "%s (process %s) ended with code %s%s; starting another in %.1f s",
                worker.process.name,
                worker.process.pid,
                worker.process.exitcode,
                _exit_reason(worker.news),
                delay,
            )
            worker.process.close()
            worker.news.close()
            del self._workers[index]
            self._restarts[index] = (time.monotonic() + delay, failures + 1)

    def _restart_the_due(self) -> None:
        for index, (when, failures) in list(self._restarts.items()):
            if when <= time.monotonic():
                del self._restarts[index]
                self._start(index, failures)

    def _stop_all(self) -> None:
        """Let every worker answer what it admitted; kill those that take too long."""
        for worker in self._workers.values():
            self._tell_to_stop(worker)
        grace = self._settings.drain_delay_s + self._settings.shutdown_timeout_s + 5.0
        deadline = time.monotonic() + grace
        for worker in self._workers.values():
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                logger.error("%s did not end within %.0f s and is killed", worker.process.name, grace)
                worker.process.kill()
                worker.process.join()

    def _work(self, news: Connection) -> None:
        """A worker's life."""
        gc.disable()  # until the server has started: nearly all that is loaded stays
        # A terminal interrupts the whole group: workers leave that to their supervisor.
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        self._lifeline.close()
        self._gatekeeper.close()
        from .server import serve

        def wait_for_the_others() -> None:
            """Who listens before them gets all connections, and keeps those that are kept."""
            news.send(None)
            self._gate.recv(1)  # nothing, once the supervisor has closed the other end or is gone

        settings = self._settings
        try:
            listener = bind(settings.host, self._port, shared=True)
            admin = bind(settings.host, settings.admin_port, shared=True) if settings.admin_port else None
            serve(
                settings,
                listener,
                news.send,
                on_loaded=wait_for_the_others,
                admin=admin,
                grpc_address=self._grpc_address,
                metrics_dir=self._metrics_dir,
                parent=self._alive,
            )
        except ConvserveError as error:
            news.send(error)
            sys.exit(STARTUP_FAILED)


def _exit_reason(news: Connection) -> str:
    """Why a worker could not start, where it said so."""
    last = None
    with suppress(EOFError):
        while news.poll():
            last = news.recv()
    return f" ({last})" if isinstance(last, ConvserveError) else ""
