"""The reflection service, with which grpcurl and similar tools list services and methods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2

from .cancellable_stream import read_until
from .handlers import Context, Handler, parse, service_handler

SERVICE = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]


class Reflection:
    """Describes the services in `files`, and itself.

    Args:
        closing: set when the server stops; open streams then end.
    """

    def __init__(self, files: Iterable[FileDescriptor], closing: asyncio.Event) -> None:
        self._closing = closing
        pool = DescriptorPool()  # the inference protocol's messages are in a pool of their own
        services = []
        for file in (*files, SERVICE.file):
            pool.AddSerializedFile(file.serialized_pb)
            services += [service.full_name for service in file.services_by_name.values()]
        self._servicer = reflection.aio.ReflectionServicer(services, pool)  # type: ignore[attr-defined]

    def handler(self) -> Handler:
        return service_handler(SERVICE, {"ServerReflectionInfo": self.info})

    async def info(self, received: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        requests = (
            parse(reflection_pb2.ServerReflectionRequest, data)
            async for data in read_until(self._closing, received)
        )
        async for response in self._servicer.ServerReflectionInfo(requests, context):
            yield response
