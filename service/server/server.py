"""One server process: the application under uvicorn, from loading its models to its last answer."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from prometheus_client import disable_created_metrics

from ..asgi.app import build
from ..asgi.middleware.stack import build_middleware
from ..config.limits import ConnectionLimits, Limits
from ..config.settings import Settings
from ..errors import ConfigurationError
from ..http.overload_cache import OverloadCache
from ..http.protocol import ConnectionPool
from ..inference.registry import Registry
from ..security.api_keys import ApiKeyStore
from ..security.authorization import Authorizer
from ..security.rate_limiter import RateLimiter
from ..security.tls import Tls, TlsFiles
from ..telemetry.rejections import RejectionCounters
from ..telemetry.request_log import RequestLog
from .haste import STOP_AT_ONCE
from .startup_banner import StartupBanner

if TYPE_CHECKING:  # a server without gRPC shall not pay for its import
    from ..protocols.grpc.server import GrpcServer
    from ..telemetry.tracing import Tracing

BACKLOG = 2048
# https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html
SECURITY_HEADERS = (
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
)
TICKS_A_SECOND = 10  # of uvicorn's main loop


class Server(uvicorn.Server):
    """uvicorn, but not ready before it closes its port, and ended by its caller and not by the signal.

    Attributes:
        grpc: what is to be drained and stopped with it.
        admin: a second socket to answer on, and its TLS.
        refresh: called every second, to look at what has changed without a word.
    """

    def __init__(
        self, config: uvicorn.Config, registry: Registry, settings: Settings, on_started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self.grpc: GrpcServer | None = None
        self.admin: tuple[socket.socket, ssl.SSLContext | None] | None = None
        self.refresh: list[Callable[[], None]] = []
        self.ended_by: signal.Signals | None = None
        self._registry = registry
        self._drain_delay = settings.drain_delay_s
        self._shutdown_timeout = settings.shutdown_timeout_s
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and only then, with the signals' handlers in place, say so."""
        await super().startup(sockets)
        if self.admin is not None:
            await self._listen(*self.admin)
        self._on_started()

    async def _listen(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        """As uvicorn does on its own, whose TLS is one for all its sockets."""
        protocol: Any = self.config.http_protocol_class
        make = partial(protocol, self.config, self.server_state, self.lifespan.state)
        server = await asyncio.get_running_loop().create_server(make, sock=listener, ssl=tls, backlog=BACKLOG)
        self.servers.append(server)

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_A_SECOND == 0:
            for refresh in self.refresh:
                refresh()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain, then stop. An interrupt after that: stop at once."""
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
        """Refuse new requests, answer the admitted ones, return from `serve`."""
        self._registry.stop()
        if self.grpc is not None and (self.force_exit or not self.should_exit):
            self.grpc.stop(None if self.force_exit else self._shutdown_timeout)
        self.should_exit = True


def serve(
    settings: Settings,
    listener: socket.socket,
    announce: Callable[[StartupBanner], None],
    *,
    on_loaded: Callable[[], None] = lambda: None,
    admin: socket.socket | None = None,
    grpc_address: str | None = None,
    metrics_dir: Path | None = None,
    parent: int | None = None,
) -> signal.Signals | None:
    """Serve on a bound socket until a signal comes; which one is the answer.

    Args:
        announce: called when the models are loaded and the socket listens.
        on_loaded: called before it listens.
        admin: another bound socket, on `settings.admin_port`.
        grpc_address: where to answer gRPC, in numbers; somebody holds the port until this returns.
        metrics_dir: the folder through which several workers share their metrics.
        parent: a file descriptor that becomes readable when the supervisor is gone.

    Raises:
        ConfigurationError, NothingToServe: it could not start.
    """
    # Pillow warns of odd metadata in words that a client chose.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    # It would put a second series beside every counter, which nothing here reads.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    service = build(settings, metrics_dir=metrics_dir)
    app, plane, telemetry = service.app, service.plane, service.telemetry
    keyring = _keyring(settings)
    refusals = RejectionCounters(telemetry.connection_rejections)
    gate = None if keyring is None else Authorizer(keyring, RateLimiter(metrics_dir), refusals)
    traces = _traces(settings)
    files = TlsFiles.of(settings)
    tls = None if files is None else Tls(files)
    requests = None
    if settings.access_log or traces is not None:
        requests = RequestLog(log=settings.access_log, tracing=traces)
    enclosed = build_middleware(app, settings, gate, requests)
    # Middleware has to see every request: the application then rejects those to an overloaded model itself.
    overload_cache = OverloadCache() if enclosed is app else None
    connections = ConnectionPool(ConnectionLimits.of(settings), refusals, overload_cache)
    config = uvicorn.Config(
        enclosed,
        headers=_headers(settings),
        ssl_context_factory=None if tls is None else lambda config, default: tls.context,
        http=cast("type[asyncio.Protocol]", connections.connect),
        ws="none",
        lifespan="off",  # entered below, where an error at start is ours to tell
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=int(settings.shutdown_timeout_s) or 1,
    )

    def tell_readiness() -> None:
        # Who scrapes keeps a connection, and asks one worker of several: the others have to say it unasked.
        telemetry.ready.set(float(plane.registry.ready))

    def on_started() -> None:
        # What has been loaded stays: it need not be gone through whenever garbage is looked for.
        gc.freeze()
        gc.enable()
        tell_readiness()
        announce(StartupBanner.of(plane.registry))
        if parent is not None:
            loop = asyncio.get_running_loop()
            loop.add_reader(parent, on_orphaned, parent)
            signal.signal(STOP_AT_ONCE, lambda number, frame: loop.call_soon_threadsafe(server.stop))

    def on_orphaned(sentinel: int) -> None:
        asyncio.get_running_loop().remove_reader(sentinel)  # it stays readable
        server.stop()

    server = Server(config, plane.registry, settings, on_started)
    server.refresh = [partial(connections.check, server.server_state), tell_readiness]
    server.refresh += [part.refresh for part in (keyring, tls) if part is not None]
    if admin is not None:
        server.admin = admin, None if tls is None else tls.admin_context

    async def run() -> None:
        # Imported by a thread while the models are loaded: an engine that warms up leaves Python to others.
        made_by = asyncio.get_running_loop().run_in_executor(None, _grpc_server, grpc_address)
        async with app.router.lifespan_context(app):
            made = await made_by
            on_loaded()
            ours = (
                None if made is None else made(plane, telemetry, Limits.of(settings), gate, files, requests)
            )
            async with _serving(ours, grpc_address) as server.grpc:
                await server.serve(sockets=[listener])

    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(run())
    finally:
        if traces is not None:
            traces.close()
    return server.ended_by


def _headers(settings: Settings) -> list[tuple[str, str]]:
    """What every answer bears; uvicorn writes them with its own."""
    if not settings.security_headers:
        return []
    strict = [("strict-transport-security", "max-age=31536000")] if settings.tls_cert is not None else []
    return [*SECURITY_HEADERS, *strict]


def _traces(settings: Settings) -> Tracing | None:
    if settings.otlp_endpoint is None:
        return None
    try:
        from ..telemetry.tracing import Tracing
    except ImportError as error:
        raise ConfigurationError(
            "CONVSERVE_OTLP_ENDPOINT needs the extra convserve[otel], which is not installed"
        ) from error
    return Tracing(settings.otlp_endpoint, settings.trace_ratio)


def _keyring(settings: Settings) -> ApiKeyStore | None:
    """Every key that the settings name; None where they name none and the server is open."""
    if settings.api_keys is None and settings.api_keys_file is None:
        return None
    text = "" if settings.api_keys is None else settings.api_keys.get_secret_value()
    return ApiKeyStore(text, settings.api_keys_file)


def _grpc_server(address: str | None) -> type[GrpcServer] | None:
    """What answers gRPC; None, and nothing of its library in memory, where there is no address."""
    if address is None:
        return None
    from ..protocols.grpc.server import GrpcServer

    return GrpcServer


@asynccontextmanager
async def _serving(grpc: GrpcServer | None, address: str | None) -> AsyncIterator[GrpcServer | None]:
    if grpc is None or address is None:
        yield None
        return
    async with grpc.serving(address):
        yield grpc
