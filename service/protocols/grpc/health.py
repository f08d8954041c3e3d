"""The health service of grpc.health.v1, for load balancers and Kubernetes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from grpc_health.v1 import health_pb2

from ...errors import ModelNotFound, shown
from ...inference.registry import Registry
from .call_acceptors import MethodHandler
from .handlers import ServiceHandlers
from .limits.calls import Call

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """Reports the server under the empty name and its services' names, and each model under its own.

    It reads the registry at each request. grpcio's own servicer keeps a table instead, which grows by one
    entry for each watched name.
    """

    def __init__(self, registry: Registry, service: str) -> None:
        self._registry = registry
        self._services = {"", service, SERVICE.full_name}
        self._changed = asyncio.Event()
        self._closed = False

    def handlers(self, handlers: ServiceHandlers) -> dict[str, MethodHandler]:
        return handlers.create(SERVICE, {"Check": self.check, "Watch": self.watch})

    def changed(self) -> None:
        """Make the watches check again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """End the watches after a last check."""
        self._closed = True
        self.changed()

    async def check(self, request: Any, call: Call) -> Any:
        status = self._status(request.service)
        if status == SERVICE_UNKNOWN:
            raise ModelNotFound(f"no service or model is named {shown(request.service)}")
        return health_pb2.HealthCheckResponse(status=status)

    async def watch(self, request: Any, call: Call) -> AsyncIterator[Any]:
        sent = None
        while True:
            # Read both before the status, so that a change while a response is being sent is not missed.
            changed, closed = self._changed, self._closed
            status = self._status(request.service)
            if status != sent:
                yield health_pb2.HealthCheckResponse(status=status)
                sent = status
            if closed:
                return
            await changed.wait()

    def _status(self, service: str) -> Any:
        registry = self._registry
        if service in self._services or registry.versions(service):
            return SERVING if registry.ready else NOT_SERVING
        failed = any(failure.name == service for failure in registry.failures)
        return NOT_SERVING if failed else SERVICE_UNKNOWN
