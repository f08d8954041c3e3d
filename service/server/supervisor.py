"""Runs several server processes on one port: forks, monitors, restarts and stops them."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

from ..config.settings import Settings
from ..errors import ConvserveError, NothingToServe
from ..lifecycle.coordinator import Coordinator
from ..lifecycle.message_socket import MessageSocket
from ..lifecycle.messages import ToWorker
from ..system.orphans import reap_orphans
from ..system.owned_folder import owned_folder
from ..system.shared_memory import forget
from ..system.sockets import bind
from ..telemetry.collector import GAUGES
from .hangup import Terminal, hangup_is_ignored
from .periodic_tasks import PeriodicTasks
from .startup_banner import StartupBanner
from .worker_link import CHECK_SECONDS, STOP_IMMEDIATELY, Heartbeats, SilenceDetector, WorkerLink
from .worker_process import Worker

STARTUP_FAILED = 3
MAX_RESTART_SECONDS = 30.0
# A worker that has run for longer than this is restarted without a delay.
STABLE_SECONDS = 60.0
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

logger = logging.getLogger(__name__)


class Supervisor:
    """Keeps `settings.workers` processes running until a signal arrives.

    Each worker binds its own socket with SO_REUSEPORT, so that the kernel distributes connections evenly and
    stops using the socket of a worker that has ended. The supervisor imports what a worker needs; the forked
    workers share that memory. It loads no model and handles no requests, so it has no threads, which would
    not survive a fork.

    A worker whose event loop is silent for `settings.worker_timeout_s` is killed and replaced: it is stopped
    or deadlocked, and the kernel would go on giving it connections.
    """

    def __init__(self, settings: Settings, listener: socket.socket, grpc_address: str | None) -> None:
        """
        Args:
            listener: a socket that is bound with SO_REUSEPORT and never listens; it reserves the port while
                workers are restarted.
            grpc_address: a numeric `host:port`, which the caller keeps reserved; None turns gRPC off.
        """
        self._settings = settings
        self._port = listener.getsockname()[1]
        self._grpc_address = grpc_address
        self._context = multiprocessing.get_context("fork")
        self._workers: dict[int, Worker] = {}
        self._restarts: dict[int, tuple[float, int]] = {}
        self._metrics_dir = Path()
        self._ended_by: signal.Signals | None = None
        self._fast_shutdown = False
        self._terminal = Terminal()
        self._ignores_hangup = hangup_is_ignored()
        self._heartbeats = Heartbeats(settings.workers)
        self._silence = SilenceDetector(settings.worker_timeout_s)
        self._coordinator = Coordinator.of(settings, self._send)
        self._tasks = PeriodicTasks(
            [self._reap, self._kill_silent, self._restart_due, self._coordinator.tick]
        )

    def run(self, announce: Callable[[StartupBanner], None]) -> signal.Signals | None:
        """Start the workers, supervise them until a signal arrives, and return that signal.

        Raises:
            ConfigurationError, NothingToServe: the first workers could not start.
        """
        with ExitStack() as stack:
            self._metrics_dir = stack.enter_context(owned_folder("convserve-metrics-"))

            def socket_pair() -> tuple[socket.socket, socket.socket]:
                first, second = socket.socketpair()
                return stack.enter_context(first), stack.enter_context(second)

            # Workers read an end of file from their end when the supervisor exits.
            self._parent_alive, self._parent_alive_writer = socket_pair()
            # Workers block on their end until the supervisor closes the other.
            self._start_barrier, self._start_barrier_writer = socket_pair()
            wakeup, wakeup_writer = socket_pair()
            wakeup.setblocking(False)
            wakeup_writer.setblocking(False)
            signal.set_wakeup_fd(wakeup_writer.fileno())
            for handled in (signal.SIGTERM, signal.SIGINT):
                signal.signal(handled, self._on_signal)
            signal.signal(signal.SIGCHLD, _ignore)  # it wakes the supervisor
            if not self._ignores_hangup:
                signal.signal(signal.SIGHUP, self._on_hangup)
            try:
                self._preload()
                if self._ended_by is None:
                    self._start_all(wakeup, announce)
                self._watch(wakeup)
            finally:
                signal.set_wakeup_fd(-1)
                self._stop_all()
        return self._ended_by

    def _on_signal(self, sig: int, frame: FrameType | None) -> None:
        if self._ended_by is not None and sig == signal.SIGINT:
            self._fast_shutdown = True
            for worker in list(self._workers.values()):
                self._stop(worker)
        self._ended_by = self._ended_by or signal.Signals(sig)

    def _on_hangup(self, sig: int, frame: FrameType | None) -> None:
        """Stop as after SIGTERM if the terminal is gone; otherwise let all workers reload their files."""
        if self._terminal.lost:
            self._on_signal(sig, frame)
            return
        for worker in list(self._workers.values()):
            if worker.process.is_alive():
                os.kill(worker.pid, signal.SIGHUP)

    def _stop(self, worker: Worker) -> None:
        """Signal a worker to stop, without the drain delay if the supervisor was interrupted."""
        immediately = self._fast_shutdown or self._ended_by == signal.SIGINT
        if worker.process.is_alive():
            os.kill(worker.pid, STOP_IMMEDIATELY if immediately else signal.SIGTERM)
            os.kill(worker.pid, signal.SIGCONT)  # a stopped process gets signals only when it continues

    def _start(self, index: int, failures: int = 0) -> None:
        receiver, sender = self._context.Pipe(duplex=False)
        own, others = socket.socketpair()
        process = self._context.Process(
            target=self._run_worker, args=(index, sender, others), name=f"worker {index}"
        )
        self._heartbeats.reset(index)
        # A forked worker has the supervisor's handlers until it installs its own: block signals meanwhile.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            process.start()
        except OSError:
            receiver.close()
            own.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
            sender.close()
            others.close()
        self._workers[index] = Worker(process, receiver, MessageSocket(own), failures=failures)

    def _preload(self) -> None:
        """Import the modules of the workers, so that they share their memory."""
        gc.disable()
        from . import server  # noqa: F401

        if self._grpc_address is not None:
            from ..protocols.grpc import server as grpc_server  # noqa: F401
        # A collection writes to the objects it visits, and the kernel copies pages that are written to.
        gc.freeze()
        gc.enable()

    def _start_all(self, wakeup: socket.socket, announce: Callable[[StartupBanner], None]) -> None:
        for index in range(self._settings.workers):
            self._start(index)
        self._receive_from_all(wakeup)  # their models are loaded
        self._start_barrier_writer.close()
        if banners := self._receive_from_all(wakeup):
            announce(banners[0])

    def _receive_from_all(self, wakeup: socket.socket) -> list[StartupBanner]:
        """The next message of each worker; an empty list if a signal arrives first."""
        messages = []
        for worker in self._workers.values():
            ready: list[Any] = []
            while not ready:
                links = [each.messages.fileno() for each in self._workers.values()]
                found = _wait([worker.status_pipe, *links], wakeup)
                if self._ended_by is not None:
                    return []
                self._receive()
                self._check_start()
                ready = [each for each in found if each is worker.status_pipe]
            try:
                message = worker.status_pipe.recv()
            except EOFError:
                raise NothingToServe("a worker process ended during startup") from None
            if isinstance(message, ConvserveError):
                raise message
            messages.append(message)
        return messages

    def _check_start(self) -> None:
        """
        Raises:
            ConvserveError: there is nothing to serve, or a worker has ended, for which the others would wait.
        """
        if self._coordinator.error is not None:
            raise self._coordinator.error
        for worker in self._workers.values():
            if worker.messages.has_ended:
                raise worker.exit_error or NothingToServe("a worker process ended during startup")

    def _watch(self, wakeup: socket.socket) -> None:
        while self._ended_by is None:
            sentinels = [worker.process.sentinel for worker in self._workers.values()]
            due = [when for when, _ in self._restarts.values()]
            timeout = max(0.0, min(due) - time.monotonic()) if due else CHECK_SECONDS
            links = [each.messages.fileno() for each in self._workers.values() if not each.messages.has_ended]
            _wait([*sentinels, *links], wakeup, min(timeout, CHECK_SECONDS))
            if self._ended_by is None:
                self._receive()
                self._tasks.run()

    def _receive(self) -> None:
        """Give what the workers have sent to the coordinator."""
        for index, worker in list(self._workers.items()):
            worker.messages.flush()
            for message in worker.messages.receive():
                self._coordinator.receive(index, message)

    def _send(self, index: int, message: ToWorker) -> None:
        """Send a message of the coordinator to a worker."""
        worker = self._workers.get(index)
        if worker is not None:
            worker.messages.send(message)

    def _kill_silent(self) -> None:
        """Kill the workers whose event loop does not run; `_reap` replaces them."""
        if not self._settings.worker_timeout_s:
            return
        counts = {
            index: self._heartbeats.count(index)
            for index, worker in self._workers.items()
            if worker.process.is_alive()
        }
        for index in self._silence.silent(counts):
            worker = self._workers[index]
            logger.error(
                "%s (process %s) has not responded for %g s and is killed",
                worker.process.name,
                worker.pid,
                self._settings.worker_timeout_s,
            )
            worker.process.kill()
            worker.process.join(CHECK_SECONDS)

    def _reap(self) -> None:
        ended = [index for index, worker in self._workers.items() if not worker.process.is_alive()]
        for index in ended:
            worker = self._workers.pop(index)
            uptime = time.monotonic() - worker.started
            failures = 0 if uptime > STABLE_SECONDS else worker.failures
            delay = _restart_delay(failures) if failures else 0.0
            self._restarts[index] = (time.monotonic() + delay, failures + 1)
            logger.error(
                "%s (process %s) ended with code %s%s; starting another in %.1f s",
                worker.process.name,
                worker.pid,
                worker.process.exitcode,
                worker.exit_reason,
                delay,
            )
            forget(self._metrics_dir, GAUGES, worker.pid)
            worker.close()
            self._coordinator.lost(index)
        # Processes of ended workers, if this is process 1.
        reap_orphans({worker.pid for worker in self._workers.values()})

    def _restart_due(self) -> None:
        for index, (when, failures) in list(self._restarts.items()):
            if when <= time.monotonic():
                del self._restarts[index]
                try:
                    self._start(index, failures)
                except OSError as error:  # too many processes or files, or too little memory
                    logger.error("worker %d cannot be started: %s", index, error)
                    self._restarts[index] = (time.monotonic() + _restart_delay(failures), failures + 1)

    def _stop_all(self) -> None:
        """Stop every worker after its admitted requests; kill the silent ones, and all at the time limit."""
        if self._ended_by is not None:
            logger.info("received %s: stopping %d workers", self._ended_by.name, len(self._workers))
        for worker in self._workers.values():
            self._stop(worker)
        grace = self._settings.drain_delay_s + self._settings.shutdown_timeout_s + 5.0
        deadline = time.monotonic() + grace
        while alive := [worker for worker in self._workers.values() if worker.process.is_alive()]:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            sentinels = [worker.process.sentinel for worker in alive]
            multiprocessing.connection.wait(sentinels, min(left, CHECK_SECONDS))
            self._kill_silent()
        for worker in alive:
            logger.error("%s did not end within %.0f s and is killed", worker.process.name, grace)
            worker.process.kill()
            worker.process.join(CHECK_SECONDS)
        if self._ended_by is not None:
            logger.info("all workers have ended")

    def _run_worker(self, index: int, status_pipe: Connection, messages: socket.socket) -> None:
        """The main function of a worker process."""
        gc.disable()  # until the server has started; hardly any object is freed before that
        # A terminal sends SIGINT to the whole process group; the supervisor handles it for its workers.
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if not self._ignores_hangup:
            signal.signal(signal.SIGHUP, _ignore)  # until the server has loaded the files
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        self._parent_alive_writer.close()
        self._start_barrier_writer.close()
        try:
            self._serve(index, status_pipe, messages)
        except ConvserveError as error:
            status_pipe.send(error)
            sys.exit(STARTUP_FAILED)

    def _serve(self, index: int, status_pipe: Connection, messages: socket.socket) -> None:
        from ..lifecycle.lifecycle import CoordinatorLink
        from .server import Endpoints, serve

        def wait_at_barrier() -> None:
            # The first worker to listen would get all connections, and keep those that stay open.
            status_pipe.send(None)
            self._start_barrier.recv(1)  # returns when the supervisor has closed the other end, or has exited

        settings = self._settings
        listener = bind(settings.host, self._port, shared=True)
        admin = bind(settings.host, settings.admin_port, shared=True) if settings.admin_port else None
        serve(
            settings,
            Endpoints(listener, admin, self._grpc_address),
            status_pipe.send,
            on_loaded=wait_at_barrier,
            metrics_dir=self._metrics_dir,
            link=WorkerLink(self._parent_alive.fileno(), partial(self._heartbeats.beat, index)),
            coordinator=CoordinatorLink(MessageSocket(messages), self._coordinator.state),
        )


def _wait(
    ready: Sequence[Connection | int], wakeup: socket.socket, timeout: float | None = None
) -> list[Any]:
    """Wait for one of these or a signal; returns those of `ready` that are."""
    found = multiprocessing.connection.wait([*ready, wakeup], timeout)
    with suppress(BlockingIOError):
        while wakeup.recv(4096):
            pass
    return [each for each in found if each is not wakeup]


def _restart_delay(failures: int) -> float:
    return min(MAX_RESTART_SECONDS, 0.1 * float(4 ** min(failures, 10)))


def _ignore(sig: int, frame: FrameType | None) -> None:
    """Unlike SIG_IGN, which `hangup_is_ignored` takes for the wish of whoever started the server."""
