"""The reflection service, with which grpcurl and similar tools list services and methods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2

from .call_acceptors import MethodHandler
from .handlers import MAX_SMALL_MESSAGE_BYTES, ServiceHandlers, parse
from .limits.calls import Call

SERVICE = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]


class Reflection:
    """Describes the services in `files`, and itself."""

    def __init__(self, files: Iterable[FileDescriptor]) -> None:
        pool = DescriptorPool()  # the inference protocol's messages are in a pool of their own
        services = []
        for file in (*files, SERVICE.file):
            pool.AddSerializedFile(file.serialized_pb)
            services += [service.full_name for service in file.services_by_name.values()]
        self._servicer = reflection.aio.ReflectionServicer(services, pool)  # type: ignore[attr-defined]

    def handlers(self, handlers: ServiceHandlers) -> dict[str, MethodHandler]:
        return handlers.create(SERVICE, {"ServerReflectionInfo": self.info})

    async def info(self, received: Call, call: Call) -> AsyncIterator[Any]:
        async for response in self._servicer.ServerReflectionInfo(_requests(received), None):
            yield response


async def _requests(call: Call) -> AsyncIterator[Any]:
    while (message := await call.receive(MAX_SMALL_MESSAGE_BYTES)) is not None:
        yield parse(reflection_pb2.ServerReflectionRequest, message)
