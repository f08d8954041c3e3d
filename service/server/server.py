"""Serves the application in one process, from loading the models to the last response."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import warnings
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, cast

import uvicorn
from prometheus_client import disable_created_metrics

from ..asgi.middleware.stack import build_middleware
from ..client_budget.identity import TrustedProxies
from ..config.limits import ConnectionLimits, Limits
from ..config.settings import Settings
from ..http.connection_pool import ConnectionPool
from ..http.connections.tls_listener import TlsListener
from ..http.overload_cache import OverloadCache
from ..http.protocol import HttpProtocol
from ..inference.registry import Registry
from ..lifecycle.lifecycle import CoordinatorLink
from ..process_pool.pool import ProcessPool
from ..process_pool.template import Template
from ..system.allocator import return_large_blocks
from ..system.heap_trimmer import HeapTrimmer
from .components import Components
from .exit_deadline import exit_after
from .hangup import Terminal, hangup_is_ignored
from .periodic_tasks import PeriodicTasks
from .startup_banner import StartupBanner
from .worker_link import WorkerLink

if TYPE_CHECKING:  # loaded only if gRPC is on
    from ..protocols.grpc.server import GrpcServer

BACKLOG = 2048
# libuv accepts one connection of a listener in an iteration of its loop. While other work fills iterations, a
# burst of connections would keep a new client waiting, so several listeners share the socket.
ACCEPTED_AT_ONCE = 16

logger = logging.getLogger(__name__)

# https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html
SECURITY_HEADERS = (
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
)
HSTS_HEADER = ("strict-transport-security", "max-age=31536000")
# For closing the models and the ports after the last request.
EXIT_SECONDS = 4.0
TICKS_PER_SECOND = 10  # of uvicorn's main loop


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The addresses of a server.

    Attributes:
        listener: a bound socket for HTTP.
        admin: a bound socket on `settings.admin_port`; None if there is no admin port.
        grpc_address: a numeric `host:port`, which the caller keeps reserved; None turns gRPC off.
    """

    listener: socket.socket
    admin: socket.socket | None = None
    grpc_address: str | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound socket of HTTP.

    Attributes:
        tls: its TLS context; None for plain text.
        admin: it is the admin port.
    """

    socket: socket.socket
    tls: ssl.SSLContext | None
    admin: bool


class Server(uvicorn.Server):
    """A uvicorn.Server that fails readiness before it closes its ports, and reports the signal to its caller.

    Attributes:
        grpc: the gRPC server to drain and stop with this one.
        listeners: the sockets to listen on.
        on_started: called when all ports listen.
        refresh: run once per second.
        reload: run after SIGHUP.
        in_progress: returns the number of requests for inference that have no response yet.
        ended_by: the signal that ended the server.
    """

    def __init__(
        self, config: uvicorn.Config, connections: ConnectionPool, registry: Registry, settings: Settings
    ) -> None:
        super().__init__(config)
        self._connections = connections
        self.grpc: GrpcServer | None = None
        self.listeners: list[Listener] = []
        self.on_started: Callable[[], None] = lambda: None
        self.refresh = PeriodicTasks([])
        self.reload = PeriodicTasks([])
        self.in_progress: Callable[[], int] = lambda: 0
        self.ended_by: signal.Signals | None = None
        self._terminal = Terminal()
        self._left = 0
        self._registry = registry
        self._drain_delay = settings.drain_delay_s
        self._shutdown_timeout = settings.shutdown_timeout_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on all ports, with the signal handlers installed, and then call `on_started`."""
        await super().startup([])  # uvicorn would listen with one TLS context for all sockets
        for listener in self.listeners:
            servers = await self._listen(listener)
            self.servers += cast("list[asyncio.Server]", servers)
        self.on_started()

    async def _listen(self, listener: Listener) -> Sequence[asyncio.AbstractServer | TlsListener]:
        connections, config = self._connections, self.config
        connect = partial(
            connections.connect, config, self.server_state, self.lifespan.state, admin=listener.admin
        )
        if listener.tls is None:
            loop = asyncio.get_running_loop()
            sockets = [listener.socket, *(listener.socket.dup() for _ in range(ACCEPTED_AT_ONCE - 1))]
            return [await loop.create_server(connect, sock=each, backlog=BACKLOG) for each in sockets]
        server = TlsListener(listener.socket, listener.tls, connections, connect, admin=listener.admin)
        server.start(BACKLOG)
        return [server]

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_PER_SECOND == 0:
            self.refresh.run()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain and stop on the first signal; stop at once on an interrupt after it."""
        loop = asyncio.get_running_loop()
        if self.ended_by is None:
            self.ended_by = signal.Signals(sig)
            self._registry.drain()
            delay = 0.0 if sig == signal.SIGINT else self._drain_delay
            loop.call_soon_threadsafe(self._drain, delay)
        elif sig == signal.SIGINT:
            self.force_exit = True
            loop.call_soon_threadsafe(self.stop)

    def handle_hangup(self, sig: int, frame: FrameType | None) -> None:
        """Drain and stop if the terminal is gone; otherwise reload the files that can change."""
        if not self._terminal.lost:
            if self.started:  # before, nothing has been read that could have changed
                asyncio.get_running_loop().call_soon_threadsafe(self._reload)
        elif self.started:
            self.handle_exit(sig, frame)
        else:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)

    def _reload(self) -> None:
        logger.info("received SIGHUP: reloading files")
        self.reload.run()

    def _drain(self, delay: float) -> None:
        assert self.ended_by is not None  # the signal that began it
        logger.info("received %s: not ready; the ports close in %g s", self.ended_by.name, delay)
        if self.grpc is not None:
            self.grpc.drain()
        asyncio.get_running_loop().call_later(delay, self.stop)

    def stop(self) -> None:
        """Reject new requests, finish the admitted ones and return from `serve`."""
        self._registry.stop()
        if self.grpc is not None and (self.force_exit or not self.should_exit):
            self.grpc.stop(None if self.force_exit else self._shutdown_timeout)
        if not self.should_exit:
            self._left = self.in_progress()
            logger.info("draining: %d requests in progress, %g s left", self._left, self._shutdown_timeout)
            exit_after(self._shutdown_timeout + EXIT_SECONDS, self.ended_by or signal.SIGTERM)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the ports, and cancel the requests that do not end in time."""
        await super().shutdown(sockets)
        # Cancelled tasks end in the next turns of the loop.
        cancelled = self.in_progress()
        logger.info("drained: %d requests finished, %d cancelled", max(0, self._left - cancelled), cancelled)


def serve(
    settings: Settings,
    endpoints: Endpoints,
    announce: Callable[[StartupBanner], None],
    *,
    on_loaded: Callable[[], None] = lambda: None,
    metrics_dir: Path | None = None,
    link: WorkerLink | None = None,
    coordinator: CoordinatorLink | None = None,
) -> signal.Signals | None:
    """Serve until a signal arrives, and return that signal.

    Args:
        announce: called when the models are loaded and the ports listen.
        on_loaded: called when the models are loaded, before the ports listen.
        metrics_dir: the folder through which several workers share their metrics; None with one process.
        link: connects a worker to its supervisor; None with one process.
        coordinator: decides what the workers serve; None with one process.

    Raises:
        ConfigurationError, NothingToServe: the server cannot start.
    """
    return_large_blocks()
    # Pillow's warnings about metadata contain text from the image, which the client chooses.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    # The _created series would double the number of counter series.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    processes = ProcessPool(Template() if Template.supported() else None)  # before there are threads
    if link is not None:
        link.start()
    components = Components.build(settings, metrics_dir, processes, coordinator)
    server = build_server(settings, components, endpoints)
    server.on_started = partial(_on_started, server, components, announce, link)
    if not hangup_is_ignored():
        signal.signal(signal.SIGHUP, server.handle_hangup)
    try:
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(_run(server, settings, components, endpoints, on_loaded))
    finally:
        components.close()
    return server.ended_by


def build_server(settings: Settings, components: Components, endpoints: Endpoints) -> Server:
    """Create the HTTP server around the components."""
    service, tls = components.service, components.tls
    app = build_middleware(service.app, settings, components.authorizer, components.request_log)
    # Middleware has to see every request, so with middleware the application rejects under overload itself.
    overload_cache = OverloadCache() if app is service.app else None
    connections = ConnectionPool(
        ConnectionLimits.of(settings),
        components.rejections,
        service.budget,
        overload_cache,
        TrustedProxies.parse(settings.trusted_proxies),
    )
    config = uvicorn.Config(
        app,
        headers=_headers(settings),
        http=HttpProtocol,
        ws="none",
        lifespan="off",  # `_run` runs it, so that errors at startup reach the caller
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=int(settings.shutdown_timeout_s) or 1,
    )
    server = Server(config, connections, service.plane.registry, settings)
    server.refresh = PeriodicTasks(
        [
            partial(connections.check, server.server_state),
            components.publish_state,
            service.plane.registry.shrink_idle,
            service.plane.processes.check,
            HeapTrimmer(lambda: service.budget.held).check,
            *(part.refresh for part in (components.api_keys, tls) if part is not None),
        ]
    )
    reloaded = [part.reload for part in (components.api_keys, tls) if part is not None]
    server.reload = PeriodicTasks([*reloaded, service.lifecycle.look])
    server.in_progress = lambda: int(service.telemetry.inflight.value)
    context, admin_context = (None, None) if tls is None else (tls.context, tls.admin_context)
    server.listeners = [Listener(endpoints.listener, context, admin=False)]
    if endpoints.admin is not None:
        server.listeners.append(Listener(endpoints.admin, admin_context, admin=True))
    return server


async def _run(
    server: Server,
    settings: Settings,
    components: Components,
    endpoints: Endpoints,
    on_loaded: Callable[[], None],
) -> None:
    """Load the models, serve until the server stops, and close the models."""
    service = components.service
    async with AsyncExitStack() as stack:
        # The engine releases the interpreter lock while it warms up: import the gRPC library meanwhile.
        loop = asyncio.get_running_loop()
        importing = loop.run_in_executor(None, _import_grpc, endpoints.grpc_address)
        await stack.enter_async_context(service.app.router.lifespan_context(service.app))
        grpc_server = await importing
        on_loaded()
        if grpc_server is not None and endpoints.grpc_address is not None:
            server.grpc = grpc_server(
                service.plane,
                service.lifecycle,
                service.telemetry,
                Limits.of(settings),
                service.budget,
                components.authorizer,
                components.tls,
                components.request_log,
                TrustedProxies.parse(settings.trusted_proxies),
            )
            await stack.enter_async_context(server.grpc.serving(endpoints.grpc_address))
            server.refresh.add(server.grpc.check)
        await server.serve([listener.socket for listener in server.listeners])


def _on_started(
    server: Server,
    components: Components,
    announce: Callable[[StartupBanner], None],
    link: WorkerLink | None,
) -> None:
    # Objects loaded so far are never freed, so the garbage collector need not scan them.
    gc.freeze()
    gc.enable()
    components.publish_state()
    if link is not None:
        link.attach(server.stop)
    announce(StartupBanner.of(components.service.plane.registry))


def _headers(settings: Settings) -> list[tuple[str, str]]:
    """The headers that uvicorn adds to every response."""
    if not settings.security_headers:
        return []
    return [*SECURITY_HEADERS, *([HSTS_HEADER] if settings.tls_cert is not None else [])]


def _import_grpc(address: str | None) -> type[GrpcServer] | None:
    """The gRPC server; without an address the gRPC library is not loaded."""
    if address is None:
        return None
    # The library writes to standard error what any client can cause, without a limit.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from ..protocols.grpc.server import GrpcServer

    return GrpcServer
