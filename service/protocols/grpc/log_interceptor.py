"""Records each gRPC call: a line in the log, a span, and the ids of its trace in the trailing metadata."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import grpc

from ...telemetry import log_fields
from ...telemetry.logs import quoted
from ...telemetry.request_context import RequestContext, current
from ...telemetry.request_log import RequestLog, RequestRecord
from .handlers import rejecting_handler
from .limits.calls import Context

if TYPE_CHECKING:  # generic only in the stubs
    _Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:
    _Interceptor = grpc.aio.ServerInterceptor

_CODES = {code.value[0]: code for code in grpc.StatusCode}
# Errors of the server and not of its client, by OpenTelemetry's conventions for RPC spans.
_SERVER_ERRORS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


class LogInterceptor(_Interceptor):
    """The outermost interceptor, so that rejected calls and unknown methods are recorded as well."""

    def __init__(self, request_log: RequestLog) -> None:
        self._request_log = request_log

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        method = handler_call_details.method
        metadata = dict(handler_call_details.invocation_metadata or ())
        traceparent = metadata.get("traceparent")
        record = self._request_log.begin(
            method.removeprefix("/"), traceparent if isinstance(traceparent, str) else None
        )
        # Each call has a task and hence a context of its own, so nothing needs to reset it.
        current.set(record.context)
        handler = await continuation(handler_call_details)
        if handler is None:
            record.rename("unknown method")
            handler = rejecting_handler(_not_found)
        return _recorded(handler, _Call(record, method))


class _Call:
    def __init__(self, record: RequestRecord, method: str) -> None:
        self._record = record
        self._method = method

    def send(self, message: bytes) -> bytes:
        self._record.bytes_sent += len(message)
        return message

    @contextmanager
    def recorded(self, context: Context, *, stream: bool) -> Iterator[None]:
        """End the record at the end of the block, with the status of the call."""
        request = self._record.context
        context.set_trailing_metadata((("traceparent", request.traceparent),))
        code = grpc.StatusCode.UNKNOWN
        try:
            yield
            code = grpc.StatusCode.OK
        except (asyncio.CancelledError, GeneratorExit):
            remaining: float | None = context.time_remaining()
            expired = remaining is not None and remaining <= 0
            code = grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
            raise
        except grpc.aio.AbortError:
            code = _status(context)
            raise
        finally:
            if stream:
                _summarize(request)
            self._end(context, code)

    def _end(self, context: Context, code: grpc.StatusCode) -> None:
        service, _, method = self._method.removeprefix("/").rpartition("/")
        self._record.end(
            quoted(self._method),
            code.name,
            client=_address(context.peer()),
            attributes={
                "rpc.system": "grpc",
                "rpc.service": service,
                "rpc.method": method,
                "rpc.grpc.status_code": code.value[0],
            },
            failed=code in _SERVER_ERRORS,
        )


def _recorded(handler: Any, call: _Call) -> Any:
    """The same method inside the record; `ServiceHandlers` creates handlers of two kinds."""

    async def respond(received: Any, context: Context) -> bytes:
        with call.recorded(context, stream=False):
            return call.send(await handler.stream_unary(received, context))

    async def stream(received: Any, context: Context) -> AsyncIterator[bytes]:
        with call.recorded(context, stream=True):
            async for message in handler.stream_stream(received, context):
                yield call.send(message)

    if handler.stream_unary is not None:
        return grpc.stream_unary_rpc_method_handler(respond)
    return grpc.stream_stream_rpc_method_handler(stream)


async def _not_found(context: Context) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


def _summarize(context: RequestContext) -> None:
    """Replace the code of a stream's last message by the number of messages and of failed ones."""
    if context.inferences:
        context.log_fields.pop(log_fields.CODE, None)
        context.log_fields |= {
            log_fields.MESSAGES: context.inferences,
            log_fields.FAILED: context.failures,
        }


def _status(context: Context) -> grpc.StatusCode:
    code: Any = context.code()  # a number, contrary to the stubs
    return code if isinstance(code, grpc.StatusCode) else _CODES.get(code, grpc.StatusCode.UNKNOWN)


def _address(peer: str) -> str:
    """The host in `ipv4:<host>:<port>` or `ipv6:[<host>]:<port>`, whose brackets may be percent-encoded."""
    family, _, address = unquote(peer).partition(":")
    return address.rpartition(":")[0].strip("[]") if family in ("ipv4", "ipv6") else ""
