"""Builds gRPC method handlers from a service's descriptor: parses messages, maps errors to status codes."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NoReturn, TypeAlias, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from ...errors import ConvserveError, InferenceFailed, InvalidInput, Overloaded
from ..shared.status_codes import STATUS_BY_ERROR

# In quotes, because these are generic only in the stubs.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.GenericRpcHandler[Any, Any]"
_MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
# From a message, or an iterator of messages as bytes, and the call to a message, or an iterator of them.
Behaviour = Callable[[Any, Context], Awaitable[Message] | AsyncIterator[Message]]

# An error's message is sent in a trailer, where a byte that is not ASCII takes three, and clients reject
# trailers of more than 8 KiB in all.
MAX_MESSAGE_BYTES = 2000

M = TypeVar("M", bound=Message)

logger = logging.getLogger(__name__)


def service_handler(service: ServiceDescriptor, behaviours: Mapping[str, Behaviour]) -> Handler:
    """Create handlers for every method of `service`; a method without a behaviour ends with UNIMPLEMENTED.

    Generated handlers would import their messages by an absolute name, which differs between a clone and an
    installed package.
    """
    handlers = {
        method.name: _handler(method, behaviours[method.name])
        if method.name in behaviours
        else _unimplemented(method.name)
        for method in service.methods
    }
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def parse(message: type[M], data: bytes) -> M:
    """
    Raises:
        InvalidInput: the bytes are not a message of this type.
    """
    try:
        return message.FromString(data)
    except DecodeError as error:
        raise InvalidInput(f"the request is not a message of type {message.DESCRIPTOR.full_name}") from error


def _handler(method: MethodDescriptor, behaviour: Behaviour) -> _MethodHandler:
    serialize = GetMessageClass(method.output_type).SerializeToString
    if not method.server_streaming:
        return grpc.unary_unary_rpc_method_handler(_unary(method, behaviour), None, serialize)
    if not method.client_streaming:
        return grpc.unary_stream_rpc_method_handler(_stream(method, behaviour), None, serialize)
    return grpc.stream_stream_rpc_method_handler(_stream(method, behaviour), None, serialize)


def _unary(method: MethodDescriptor, behaviour: Any) -> Callable[[bytes, Context], Awaitable[Message]]:
    request = GetMessageClass(method.input_type)

    async def respond(data: bytes, context: Context) -> Message:
        try:
            message: Message = await behaviour(parse(request, data), context)
        except Exception as error:
            await reject(context, error)
        return message

    return respond


def _stream(method: MethodDescriptor, behaviour: Any) -> Callable[[Any, Context], AsyncIterator[Message]]:
    request = GetMessageClass(method.input_type)

    async def respond(received: Any, context: Context) -> AsyncIterator[Message]:
        try:
            requests = received if method.client_streaming else parse(request, received)
            async for message in behaviour(requests, context):
                yield message
        except Exception as error:
            await reject(context, error)

    return respond


def rejecting_handler(reject: Callable[[Context], Awaitable[None]]) -> _MethodHandler:
    """Create a handler that ends each call with `reject`; a bidirectional stream fits calls of every kind."""

    async def respond(received: Any, context: Context) -> AsyncIterator[bytes]:
        await reject(context)
        yield b""  # not reached; makes this an asynchronous generator

    return grpc.stream_stream_rpc_method_handler(respond)


def _unimplemented(name: str) -> _MethodHandler:
    async def reject(context: Context) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{name} is not supported by this server")

    return rejecting_handler(reject)


async def reject(context: Context, error: Exception) -> NoReturn:
    """End the call with the error's status; log unexpected errors, because no other layer catches them."""
    if not isinstance(error, ConvserveError):
        logger.error("internal error", exc_info=error)
        error = InferenceFailed("internal error; details are in the server's log")
    message = str(error).encode(errors="replace")[:MAX_MESSAGE_BYTES].decode(errors="ignore")
    code = grpc.StatusCode[STATUS_BY_ERROR[type(error)].grpc]
    await context.abort(code, message, (*context.trailing_metadata(), *_retry_pushback(error)))


def _retry_pushback(error: ConvserveError) -> tuple[tuple[str, str], ...]:
    """gRPC's counterpart of Retry-After: https://github.com/grpc/proposal/blob/master/A6-client-retries.md"""
    if not isinstance(error, Overloaded):
        return ()
    return (("grpc-retry-pushback-ms", str(math.ceil(error.retry_after * 1000))),)
