"""Serves the application in one process, from loading the models to the last response."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import ssl
import warnings
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Self, cast

import uvicorn
from prometheus_client import disable_created_metrics

from ..asgi.app import Service, build
from ..asgi.middleware.stack import build_middleware
from ..client_budget.identity import TrustedProxies
from ..config.limits import ConnectionLimits, Limits
from ..config.settings import Settings
from ..errors import ConfigurationError
from ..http.connection_pool import ConnectionPool
from ..http.overload_cache import OverloadCache
from ..http.protocol import HttpProtocol
from ..http.tls_listener import TlsListener
from ..inference.registry import Registry
from ..security.api_keys import ApiKeyStore
from ..security.authorization import Authorizer
from ..security.rate_limiter import RateLimiter
from ..security.tls import Tls, TlsFiles
from ..system.allocator import return_large_blocks
from ..telemetry.rejections import RejectionCounters
from ..telemetry.request_log import RequestLog
from .periodic_tasks import PeriodicTasks
from .startup_banner import StartupBanner
from .supervisor import STOP_IMMEDIATELY

if TYPE_CHECKING:  # loaded only if gRPC or tracing is on
    from ..protocols.grpc.server import GrpcServer
    from ..telemetry.tracing import Tracing

BACKLOG = 2048
# https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html
SECURITY_HEADERS = (
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
)
HSTS_HEADER = ("strict-transport-security", "max-age=31536000")
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
        self.ended_by: signal.Signals | None = None
        self._registry = registry
        self._drain_delay = settings.drain_delay_s
        self._shutdown_timeout = settings.shutdown_timeout_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on all ports, with the signal handlers installed, and then call `on_started`."""
        await super().startup([])  # uvicorn would listen with one TLS context for all sockets
        for listener in self.listeners:
            self.servers.append(cast("asyncio.Server", await self._listen(listener)))
        self.on_started()

    async def _listen(self, listener: Listener) -> asyncio.AbstractServer | TlsListener:
        connections, config = self._connections, self.config
        connect = partial(
            connections.connect, config, self.server_state, self.lifespan.state, admin=listener.admin
        )
        if listener.tls is None:
            loop = asyncio.get_running_loop()
            return await loop.create_server(connect, sock=listener.socket, backlog=BACKLOG)
        server = TlsListener(listener.socket, listener.tls, connections, connect, admin=listener.admin)
        server.start(BACKLOG)
        return server

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_PER_SECOND == 0:
            self.refresh.run()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain and stop on the first signal; stop at once on an interrupt after it."""
        if self.ended_by is None:
            self.ended_by = signal.Signals(sig)
            self._registry.drain()
            delay = self._drain_delay if sig == signal.SIGTERM else 0.0
            loop = asyncio.get_running_loop()
            loop.call_soon_threadsafe(loop.call_later, delay, self.stop)
            if self.grpc is not None:
                loop.call_soon_threadsafe(self.grpc.drain)
        elif sig == signal.SIGINT:
            self.force_exit = True
            asyncio.get_running_loop().call_soon_threadsafe(self.stop)

    def stop(self) -> None:
        """Reject new requests, finish the admitted ones and return from `serve`."""
        self._registry.stop()
        if self.grpc is not None and (self.force_exit or not self.should_exit):
            self.grpc.stop(None if self.force_exit else self._shutdown_timeout)
        self.should_exit = True


@dataclass(frozen=True, slots=True)
class Components:
    """The application, with the authorization, logging, tracing and TLS around it."""

    service: Service
    rejections: RejectionCounters
    api_keys: ApiKeyStore | None
    authorizer: Authorizer | None
    tracing: Tracing | None
    request_log: RequestLog | None
    tls: Tls | None

    @classmethod
    def build(cls, settings: Settings, metrics_dir: Path | None) -> Self:
        """Create and connect the components.

        Raises:
            ConfigurationError: the API keys or TLS files are invalid, or this machine lacks what a setting
                needs.
        """
        service = build(settings, metrics_dir=metrics_dir)
        rejections = RejectionCounters(service.telemetry.connection_rejections)
        api_keys = _api_keys(settings)
        authorizer = None
        if api_keys is not None:
            authorizer = Authorizer(api_keys, RateLimiter(metrics_dir), rejections)
        tracing = _tracing(settings)
        request_log = None
        if settings.access_log or tracing is not None:
            request_log = RequestLog(log=settings.access_log, tracing=tracing)
        tls_files = TlsFiles.of(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
        tls = None if tls_files is None else Tls(tls_files)
        return cls(service, rejections, api_keys, authorizer, tracing, request_log, tls)

    def publish_state(self) -> None:
        """Write the state of this worker to its metrics, which other workers read on a scrape."""
        telemetry, budget = self.service.telemetry, self.service.budget
        telemetry.ready.set(float(self.service.plane.registry.ready))
        telemetry.client_bytes.set(budget.held)
        telemetry.client_budget.set(budget.limit)

    def close(self) -> None:
        if self.tracing is not None:
            self.tracing.close()


def serve(
    settings: Settings,
    endpoints: Endpoints,
    announce: Callable[[StartupBanner], None],
    *,
    on_loaded: Callable[[], None] = lambda: None,
    metrics_dir: Path | None = None,
    parent_alive: int | None = None,
) -> signal.Signals | None:
    """Serve until a signal arrives, and return that signal.

    Args:
        announce: called when the models are loaded and the ports listen.
        on_loaded: called when the models are loaded, before the ports listen.
        metrics_dir: the folder through which several workers share their metrics; None with one process.
        parent_alive: a file descriptor that becomes readable when the supervisor has exited.

    Raises:
        ConfigurationError, NothingToServe: the server cannot start.
    """
    return_large_blocks()
    # Pillow's warnings about metadata contain text from the image, which the client chooses.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    # The _created series would double the number of counter series.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    components = Components.build(settings, metrics_dir)
    server = build_server(settings, components, endpoints)
    server.on_started = partial(_on_started, server, components, announce, parent_alive)
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
            *(part.refresh for part in (components.api_keys, tls) if part is not None),
        ]
    )
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
                service.telemetry,
                Limits.of(settings),
                components.authorizer,
                components.tls,
                components.request_log,
            )
            await stack.enter_async_context(server.grpc.serving(endpoints.grpc_address))
        await server.serve([listener.socket for listener in server.listeners])


def _on_started(
    server: Server,
    components: Components,
    announce: Callable[[StartupBanner], None],
    parent_alive: int | None,
) -> None:
    # Objects loaded so far are never freed, so the garbage collector need not scan them.
    gc.freeze()
    gc.enable()
    components.publish_state()
    announce(StartupBanner.of(components.service.plane.registry))
    if parent_alive is None:
        return
    loop = asyncio.get_running_loop()
    loop.add_reader(parent_alive, _on_parent_exit, server, parent_alive)
    signal.signal(STOP_IMMEDIATELY, lambda sig, frame: loop.call_soon_threadsafe(server.stop))


def _on_parent_exit(server: Server, parent_alive: int) -> None:
    asyncio.get_running_loop().remove_reader(parent_alive)  # it stays readable
    server.stop()


def _headers(settings: Settings) -> list[tuple[str, str]]:
    """The headers that uvicorn adds to every response."""
    if not settings.security_headers:
        return []
    return [*SECURITY_HEADERS, *([HSTS_HEADER] if settings.tls_cert is not None else [])]


def _tracing(settings: Settings) -> Tracing | None:
    if settings.otlp_endpoint is None:
        return None
    try:
        from ..telemetry.tracing import Tracing
    except ImportError as error:
        raise ConfigurationError(
            "CONVSERVE_OTLP_ENDPOINT needs the extra convserve[otel], which is not installed"
        ) from error
    return Tracing(settings.otlp_endpoint, settings.trace_ratio)


def _api_keys(settings: Settings) -> ApiKeyStore | None:
    """The API keys of the settings; None if there are none and every request is authorized."""
    if settings.api_keys is None and settings.api_keys_file is None:
        return None
    text = "" if settings.api_keys is None else settings.api_keys.get_secret_value()
    return ApiKeyStore(text, settings.api_keys_file)


def _import_grpc(address: str | None) -> type[GrpcServer] | None:
    """The gRPC server; without an address the gRPC library is not loaded."""
    if address is None:
        return None
    from ..protocols.grpc.server import GrpcServer

    return GrpcServer
