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
from .call_acceptors import MethodHandler
from .limits.calls import Call, Calls, Context

Response: TypeAlias = Message | bytes
# From a message, or a call to receive messages from, and the call to a message, or an iterator of them.
Behaviour = Callable[[Any, Any], Awaitable[Response] | AsyncIterator[Response]]

# An error's message is sent in a trailer, where a byte that is not ASCII takes three, and clients reject
# trailers of more than 8 KiB in all.
MAX_MESSAGE_BYTES = 2000
# Messages of all methods but inference hold a few names.
MAX_SMALL_MESSAGE_BYTES = 16 * 1024

M = TypeVar("M", bound=Message)
B = TypeVar("B", bound=Callable[..., Any])

logger = logging.getLogger(__name__)


class ServiceHandlers:
    """Creates the handlers of services, whose calls all count among `calls`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def create(
        self, service: ServiceDescriptor, behaviours: Mapping[str, Behaviour]
    ) -> dict[str, MethodHandler]:
        """Create handlers for every method of `service`, by the method in the form `/package.Service/Method`.

        A method without a behaviour ends with UNIMPLEMENTED.

        A behaviour of a method with a single request gets its message, or its bytes if it is marked with
        `takes_bytes`. One of a stream gets the call, from which it receives messages.

        Generated handlers would import their messages by an absolute name, which differs between a clone and
        an installed package.
        """
        handlers = {}
        for method in service.methods:
            path = f"/{service.full_name}/{method.name}"
            if method.name in behaviours:
                handlers[path] = self._handler(path, method, behaviours[method.name])
            else:
                handlers[path] = _unimplemented(method.name)
        return handlers

    def _handler(self, path: str, method: MethodDescriptor, behaviour: Any) -> MethodHandler:
        """A handler that receives messages itself, so that calls are counted before.

        For the client there is no difference between a call with one message and a stream of one.
        """
        read = self._reader(method, takes_bytes=getattr(behaviour, "takes_bytes", False))

        async def respond(received: Any, context: Context) -> bytes:
            failure: Exception
            try:
                call = self._calls.begin(path, context, streaming=False)
                return call.send(_serialized(await behaviour(await read(call), call)))
            except Exception as error:
                failure = error
            return await reject(context, failure)

        async def stream(received: Any, context: Context) -> AsyncIterator[bytes]:
            failure: Exception | None = None
            try:
                call = self._calls.begin(path, context, streaming=method.client_streaming)
                async for message in behaviour(call if method.client_streaming else await read(call), call):
                    yield call.send(_serialized(message))
                    call.sent()
            except Exception as error:
                failure = error
            if failure is not None:
                await reject(context, failure)

        if method.server_streaming:
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.stream_unary_rpc_method_handler(respond)

    def _reader(self, method: MethodDescriptor, *, takes_bytes: bool) -> Callable[[Call], Awaitable[Any]]:
        request = GetMessageClass(method.input_type)
        max_bytes = self._calls.max_message if takes_bytes else MAX_SMALL_MESSAGE_BYTES

        async def read(call: Call) -> Any:
            message = await call.receive_only(max_bytes)
            return message if takes_bytes else parse(request, message)

        return read


def parse(message: type[M], data: bytes) -> M:
    """
    Raises:
        InvalidInput: the bytes are not a message of this type.
    """
    try:
        return message.FromString(data)
    except DecodeError as error:
        raise InvalidInput(f"the request is not a message of type {message.DESCRIPTOR.full_name}") from error


def takes_bytes(behaviour: B) -> B:
    """Mark a behaviour that parses its message itself."""
    behaviour.takes_bytes = True  # type: ignore[attr-defined]
    return behaviour


def _serialized(response: Response) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


def rejecting_handler(reject: Callable[[Context], Awaitable[None]]) -> MethodHandler:
    """Create a handler that ends each call with `reject`; a bidirectional stream fits calls of every kind."""

    async def respond(received: Any, context: Context) -> AsyncIterator[bytes]:
        await reject(context)
        yield b""  # not reached; makes this an asynchronous generator

    return grpc.stream_stream_rpc_method_handler(respond)


def _unimplemented(name: str) -> MethodHandler:
    async def reject(context: Context) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{name} is not supported by this server")

    return rejecting_handler(reject)


async def reject(context: Context, error: Exception) -> NoReturn:
    """End the call with the error's status; log unexpected errors, because no other layer catches them.

    The library keeps the exception that ends a call, and with it everything that its traceback refers to, in
    a cycle. So the error must be handled after its `except` block, and its traceback is dropped here.
    """
    if not isinstance(error, ConvserveError):
        logger.error("internal error", exc_info=error)
        _drop_frames(error)
        error = InferenceFailed("internal error; details are in the server's log")
    message = status_message(error)
    code = grpc.StatusCode[STATUS_BY_ERROR[type(error)].grpc]
    trailers = (*context.trailing_metadata(), *_retry_pushback(error))
    _drop_frames(error)
    await context.abort(code, message, trailers)


def status_message(error: ConvserveError) -> str:
    """The error's message, of at most `MAX_MESSAGE_BYTES`."""
    return str(error)[:MAX_MESSAGE_BYTES].encode(errors="replace")[:MAX_MESSAGE_BYTES].decode(errors="ignore")


def _drop_frames(error: Exception) -> None:
    error.__traceback__ = error.__context__ = error.__cause__ = None


def _retry_pushback(error: ConvserveError) -> tuple[tuple[str, str], ...]:
    """gRPC's counterpart of Retry-After: https://github.com/grpc/proposal/blob/master/A6-client-retries.md"""
    if not isinstance(error, Overloaded):
        return ()
    return (("grpc-retry-pushback-ms", str(math.ceil(error.retry_after * 1000))),)
