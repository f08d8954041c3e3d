"""The gRPC server: inference, health and reflection on the data plane that it shares with HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from ...client_budget import ClientBudget
from ...client_budget.identity import TrustedProxies
from ...config.limits import Limits
from ...errors import ConfigurationError
from ...inference.data_plane import DataPlane
from ...lifecycle.lifecycle import Lifecycle
from ...security.authorization import Authorizer
from ...security.tls import Tls
from ...system.tcp_connections import Address, TcpConnections
from ...telemetry.metrics import ServerMetrics
from ...telemetry.rejections import RejectionCounters
from ...telemetry.request_log import RequestLog
from ..open_inference.repository import Repository
from . import health, servicer
from .auth_interceptor import AuthInterceptor
from .call_acceptors import CallAcceptors
from .credentials import credentials
from .event_wakeups import emptied_wakeups
from .handlers import ServiceHandlers
from .health import Health
from .limits.calls import Calls
from .limits.channel_options import channel_options
from .limits.idle_connections import IdleConnections
from .limits.log_filter import silence_disconnects
from .log_interceptor import LogInterceptor
from .reflection import Reflection
from .servicer import OpenInferenceGrpc

# When the library stops, it cancels calls that have arrived but have no handler yet. For this long before,
# new calls are rejected with UNAVAILABLE, which clients retry on another server.
REJECTION_PERIOD_SECONDS = 0.1
# Seconds that clients have to close their connections once the last call has ended.
DISCONNECT_SECONDS = 0.5


class GrpcServer:
    """Serves gRPC in the event loop that creates it."""

    def __init__(
        self,
        plane: DataPlane,
        lifecycle: Lifecycle,
        telemetry: ServerMetrics,
        limits: Limits,
        budget: ClientBudget,
        authorizer: Authorizer | None = None,
        tls: Tls | None = None,
        request_log: RequestLog | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        """
        Args:
            budget: charged for the bytes of all calls.
            authorizer: authorizes each call; None for a server without API keys.
            tls: the certificate; None for plain text.
            request_log: records each call; None for no access log and no traces.
            proxies: believed about the addresses of their clients.
        """
        self._calls = Calls(budget, limits, proxies, RejectionCounters(telemetry.connection_rejections))
        self._tls = tls
        self._max_connections = limits.max_grpc_connections
        self._idle_connections: IdleConnections | None = None
        self._maintenance: asyncio.Future[None] | None = None
        self._stops: list[asyncio.Task[None]] = []
        inference = OpenInferenceGrpc(plane, limits, telemetry, Repository(plane.registry, lifecycle))
        self._health = Health(plane.registry, servicer.SERVICE.full_name)
        plane.registry.on_replaced = self._health.changed
        described = (servicer.SERVICE.file, health.SERVICE.file)
        interceptors: list[grpc.aio.ServerInterceptor[Any, Any]] = []
        if request_log is not None:  # the first is the outermost
            interceptors.append(LogInterceptor(request_log))
        if authorizer is not None:
            interceptors.append(AuthInterceptor(authorizer))
        silence_disconnects()
        with emptied_wakeups():
            self._server = grpc.aio.server(interceptors=interceptors, options=channel_options(limits))
        self._acceptors = CallAcceptors(self._server, interceptors)
        handlers = ServiceHandlers(self._calls)
        for service in (inference, self._health, Reflection(described)):
            self._acceptors.register(service.handlers(handlers))

    @asynccontextmanager
    async def serving(self, address: str) -> AsyncIterator[int]:
        """Serve calls to a numeric `host:port` while the block runs; yields the port, a free one if it is 0.

        Raises:
            ConfigurationError: the server cannot listen on the address.
        """
        try:
            if self._tls is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, credentials(self._tls))
        except RuntimeError as error:
            raise ConfigurationError(f"cannot listen on {address} for gRPC") from error
        tcp = self._calls.tcp = TcpConnections(port)
        self._idle_connections = IdleConnections(tcp, self._max_connections)
        await self._server.start()
        self._acceptors.start()
        try:
            yield port
        finally:
            if not self._stops:
                self.stop(None)
            await asyncio.gather(*self._stops)

    def check(self) -> None:
        """Close connections that leave a response unread, and idle ones if there are too many.

        To be called once a second.
        """
        self._calls.check_unsent()
        if self._maintenance is None or self._maintenance.done():
            self._maintenance = asyncio.get_running_loop().run_in_executor(
                None, self._maintain, self._calls.busy()
            )

    def _maintain(self, busy: set[Address]) -> None:
        if self._idle_connections is not None:
            self._idle_connections.close_excess(busy)

    def drain(self) -> None:
        """Notify health watches; the registry must have been drained before."""
        self._health.changed()

    def stop(self, grace: float | None) -> None:
        """Reject new calls and give those in progress `grace` seconds to end; returns at once.

        The registry must have been stopped before.
        """
        self._calls.stop()
        self._health.close()
        self._stops.append(asyncio.create_task(self._stop(grace)))

    async def _stop(self, grace: float | None) -> None:
        if grace is None:
            await self._server.stop(None)
            return
        await asyncio.sleep(REJECTION_PERIOD_SECONDS)
        stopping = asyncio.create_task(self._server.stop(grace))
        # The library also waits for clients to close their connections, which some never do.
        await self._calls.ended()
        await asyncio.wait({stopping}, timeout=DISCONNECT_SECONDS)
        await asyncio.gather(stopping, self._server.stop(None))
