"""The gRPC server: inference, health and reflection on the data plane that it shares with HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from ...config.limits import Limits
from ...errors import ConfigurationError
from ...inference.data_plane import DataPlane
from ...security.authorization import Authorizer
from ...security.tls import Tls
from ...telemetry.metrics import ServerMetrics
from ...telemetry.request_log import RequestLog
from . import health, servicer
from .auth_interceptor import AuthInterceptor
from .credentials import credentials
from .health import Health
from .log_interceptor import LogInterceptor
from .reflection import Reflection
from .servicer import OpenInferenceGrpc

# When the library stops, it cancels calls that have arrived but have no handler yet. For this long before,
# new calls are rejected with UNAVAILABLE, which clients retry on another server.
REJECTION_PERIOD_SECONDS = 0.1


class GrpcServer:
    """Serves gRPC in the event loop that creates it."""

    def __init__(
        self,
        plane: DataPlane,
        telemetry: ServerMetrics,
        limits: Limits,
        authorizer: Authorizer | None = None,
        tls: Tls | None = None,
        request_log: RequestLog | None = None,
    ) -> None:
        """
        Args:
            authorizer: authorizes each call; None for a server without API keys.
            tls: the certificate; None for plain text.
            request_log: records each call; None for no access log and no traces.
        """
        self._closing = asyncio.Event()
        self._tls = tls
        self._stops: list[asyncio.Task[None]] = []
        inference = OpenInferenceGrpc(plane, limits, telemetry, self._closing)
        self._health = Health(plane.registry, servicer.SERVICE.full_name)
        described = (servicer.SERVICE.file, health.SERVICE.file)
        services = (inference, self._health, Reflection(described, self._closing))
        interceptors: list[grpc.aio.ServerInterceptor[Any, Any]] = []
        if request_log is not None:  # the first is the outermost
            interceptors.append(LogInterceptor(request_log))
        if authorizer is not None:
            interceptors.append(AuthInterceptor(authorizer))
        self._server = grpc.aio.server(
            handlers=[service.handler() for service in services],
            interceptors=interceptors,
            options=_options(limits),
            maximum_concurrent_rpcs=limits.max_calls,
        )

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
        await self._server.start()
        try:
            yield port
        finally:
            if not self._stops:
                self.stop(None)
            await asyncio.gather(*self._stops)

    def drain(self) -> None:
        """Notify health watches; the registry must have been drained before."""
        self._health.changed()

    def stop(self, grace: float | None) -> None:
        """Reject new calls and give those in progress `grace` seconds to end; returns at once.

        The registry must have been stopped before.
        """
        self._closing.set()
        self._health.close()
        self._stops.append(asyncio.create_task(self._stop(grace)))

    async def _stop(self, grace: float | None) -> None:
        if grace is not None:
            await asyncio.sleep(REJECTION_PERIOD_SECONDS)
        await self._server.stop(grace)


def _options(limits: Limits) -> Sequence[tuple[str, int]]:
    return (
        ("grpc.max_receive_message_length", limits.max_message_bytes),
        ("grpc.max_send_message_length", limits.max_message_bytes),
        ("grpc.max_concurrent_streams", limits.max_calls),
        ("grpc.server_handshake_timeout_ms", int(limits.handshake_timeout * 1000)),
        # The workers share the port; the process that reserved it keeps other servers off.
        ("grpc.so_reuseport", 1),
    )
