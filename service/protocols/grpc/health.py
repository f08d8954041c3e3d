"""grpc.health.v1, as load balancers and Kubernetes ask it: read from the registry at the moment of asking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from grpc_health.v1 import health_pb2

from ...errors import ModelNotFound
from ...inference.registry import Registry
from .handlers import Context, Handler, service_handler

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """The server under the empty name and that of its service, and each model under its own.

    grpcio's own servicer keeps a table that somebody has to write, and an entry more for each name that
    anybody watches.
    """

    def __init__(self, registry: Registry, service: str) -> None:
        self._registry = registry
        self._services = {"", service, SERVICE.full_name}
        self._changed = asyncio.Event()
        self._closed = False

    def handler(self) -> Handler:
        return service_handler(SERVICE, {"Check": self.check, "Watch": self.watch})

    def changed(self) -> None:
        """Tell those that watch to look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """Let those that watch go, after a last look."""
        self._closed = True
        self.changed()

    async def check(self, request: Any, context: Context) -> Any:
        status = self._status(request.service)
        if status == SERVICE_UNKNOWN:
            raise ModelNotFound(f"there is no service and no model {request.service!r}")
        return health_pb2.HealthCheckResponse(status=status)

    async def watch(self, request: Any, context: Context) -> AsyncIterator[Any]:
        told = None
        while True:
            # Both before the look: what changes while an answer is being sent is looked at once more.
            changed, closed = self._changed, self._closed
            status = self._status(request.service)
            if status != told:
                yield health_pb2.HealthCheckResponse(status=status)
                told = status
            if closed:
                return
            await changed.wait()

    def _status(self, service: str) -> Any:
        registry = self._registry
        if service in self._services or registry.versions(service):
            return SERVING if registry.ready else NOT_SERVING
        failed = any(failure.name == service for failure in registry.failures)
        return NOT_SERVING if failed else SERVICE_UNKNOWN
