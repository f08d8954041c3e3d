"""HTTP/1.1 on one connection, within limits.

Limits apply to clients that send slowly or not at all, send too much, read too slowly, or open too many
connections, so that the server needs no proxy in front of it. A limit costs a request a few
comparisons: time limits are checked once a second, by `HttpProtocol.check`.

A client usually reads only after it has sent its whole request. Closing the connection earlier
would reset it and lose the response, so the server first reads and discards the rest (a lingering close).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, cast

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import ServerState

from ..telemetry.rejections import RejectionReason
from .flow_control import FlowControl
from .request_cycle import RequestCycle
from .request_parser import RequestParser
from .response_bytes import CLOSE, Headers, ProtocolError
from .scope_extensions import CANCELLABLE, CLIENT_DISCONNECTED, OVERLOAD_RESPONDER

if TYPE_CHECKING:
    from .connection_pool import ConnectionPool

# How long a rejected client may take to read the response before the connection is cut.
LINGER_SECONDS = 2.0
# Connections above the limit that may be open to read their rejection, as a share of the limit.
MAX_REJECTED_SHARE = 0.25
# Reading pauses while this many bytes of a body wait for the application.
MAX_UNREAD_BYTES = 64 * 1024


class State(Enum):
    """The states of a connection, by the input that it expects."""

    IDLE = auto()  # no byte of the next request has arrived; an earlier one may be in progress
    HEAD = auto()  # the head of a request is arriving
    BODY = auto()  # the body of a request is arriving and goes to the application
    DISCARDING = auto()  # the response is sent; the rest of the body is discarded, the connection stays open
    LINGERING = auto()  # as DISCARDING, but the connection closes after the body
    LAST_RESPONSE = auto()  # input is ignored; the connection closes after the response in progress
    REJECTED = auto()  # an error response is written; input is ignored until the client closes


class HttpProtocol(asyncio.Protocol):
    """One connection: feeds its parser, runs the application for each request, and writes the responses.

    uvicorn.Server creates it through `ConnectionPool.connect`, finds it in `ServerState.connections`, and
    calls `shutdown`. Its parser calls the methods named `on_…`.
    """

    def __init__(
        self, pool: ConnectionPool, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        self.transport: asyncio.Transport
        self.flow: FlowControl
        self._pool = pool
        self._limits = pool.limits
        self._app: ASGIApp = config.loaded_app
        self._server_state = server_state
        # uvicorn's annotation allows only its own protocol classes.
        self._connections = cast("set[asyncio.Protocol]", server_state.connections)
        self._app_state = app_state
        self._keep_alive = config.timeout_keep_alive
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser(self, pool.limits)
        self._state = State.HEAD
        self._since = self._loop.time()  # when the state began
        self._unread_since: float | None = None
        self._scope: dict[str, Any] = {}

        self._arriving: RequestCycle | None = None  # the request whose body is arriving
        self._running: RequestCycle | None = None
        self._pipeline: deque[RequestCycle] = deque()
        self._held_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports do not inherit from asyncio's.
        self.transport = transport = cast("asyncio.Transport", transport)
        self.flow = FlowControl(transport)
        secure = transport.get_extra_info("sslcontext") is not None
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "server": _address(transport, "sockname"),
            "client": _address(transport, "peername"),
            "scheme": "https" if secure else "http",
            "root_path": "",
        }
        connections = self._connections
        connections.add(self)
        limit = self._limits.max_connections
        if len(connections) > limit * (1 + MAX_REJECTED_SHARE) + 1:
            self._pool.rejections.count(RejectionReason.TOO_MANY_CONNECTIONS)
            transport.abort()
        elif len(connections) > limit:
            self._reject(
                ProtocolError(
                    503, RejectionReason.TOO_MANY_CONNECTIONS, "the server has too many connections"
                )
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the disconnect to the application, and cancel its task if it is cancellable."""
        self._connections.discard(self)
        self._release_body()
        self.flow.resume_writing()
        self._state = State.REJECTED
        self._pipeline.clear()
        self._parser.close()
        self._arriving = None
        running, self._running = self._running, None
        if running is not None:
            running.disconnect()
            if CANCELLABLE in running.scope and running.task is not None:
                running.task.cancel(CLIENT_DISCONNECTED)

    def data_received(self, data: bytes) -> None:
        if self._state in (State.REJECTED, State.LAST_RESPONSE):
            return
        if self._state is State.IDLE:
            self._enter(State.HEAD)
            self._parser.begin_head()
        try:
            self._parser.feed(data)
        except ProtocolError as error:
            self._reject(error)

    def pause_writing(self) -> None:
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        self.flow.resume_writing()

    def shutdown(self) -> None:
        """Close the connection once every received request has its response."""
        if self._running is None:
            self.transport.close()
        else:
            (self._pipeline[-1] if self._pipeline else self._running).keep_alive = False

    def check(self, now: float) -> None:
        """Reject the client, or close the connection, if it takes too long."""
        waited = now - self._since
        if self._state is State.REJECTED:
            if waited > LINGER_SECONDS:
                self.transport.abort()
        elif self.flow.read_paused:  # the server does not read: the client is not slow
            self._since = now
        elif self._state is State.HEAD:
            if waited > self._limits.head_timeout:
                self._reject(
                    ProtocolError(
                        408, RejectionReason.SLOW_HEAD, "the request's head took too long to arrive"
                    )
                )
        elif self._state is State.IDLE:
            if self._running is None and waited > self._keep_alive:
                self.transport.close()
        elif self._state is not State.LAST_RESPONSE and waited > self._limits.body_timeout:
            self._reject(
                ProtocolError(408, RejectionReason.SLOW_BODY, "the request's body took too long to arrive")
            )
        self._check_reader(now)

    def _check_reader(self, now: float) -> None:
        if not self.transport.get_write_buffer_size():
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since > self._limits.write_timeout:
            self._pool.rejections.count(RejectionReason.SLOW_READER)
            self.transport.abort()

    # Requests

    @property
    def reads_head(self) -> bool:
        return self._state is State.HEAD

    def _enter(self, state: State) -> None:
        self._state = state
        self._since = self._loop.time()

    def on_head(self) -> None:
        """A request begins, possibly in the same chunk as the end of the previous one."""
        if self._state is not State.HEAD:
            self._enter(State.HEAD)
            self._parser.begin_head()

    def on_request(self) -> None:
        """The head of a request is complete."""
        if self._pool.held_bytes > self._limits.max_bodies_bytes:
            raise self._too_many_bytes()
        self._enter(State.BODY)
        if self._reject_overloaded():
            return
        parser = self._parser
        scope = parser.scope(self._scope)
        scope["state"] = self._app_state.copy()
        cycle = RequestCycle(
            self,
            scope,
            keep_alive=parser.keep_alive,
            awaits_continue=parser.expects_continue and parser.version == "1.1",
        )
        self._arriving = cycle
        if self._running is None:
            self._start(cycle)
        else:
            self.flow.pause_reading()
            self._pipeline.append(cycle)

    def on_body(self, body: bytes) -> None:
        cycle = self._arriving
        if self._state is not State.BODY or cycle is None:
            return
        pool = self._pool
        cycle.held_bytes += len(body)
        self._held_bytes += len(body)
        pool.held_bytes += len(body)
        if pool.held_bytes > self._limits.max_bodies_bytes:
            raise self._too_many_bytes()
        if cycle.add_body(body) > MAX_UNREAD_BYTES:
            self.flow.pause_reading()

    def on_request_complete(self) -> None:
        if self._state is State.LINGERING:
            self.transport.close()
            return
        if self._arriving is not None:
            self._arriving.end_body()
            self._arriving = None
        self._enter(State.IDLE)

    def _start(self, cycle: RequestCycle) -> None:
        self._running = cycle
        cycle.task = task = self._loop.create_task(cycle.run(self._app))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    def _reject_overloaded(self) -> bool:
        """Reject the request from the overload cache; returns False if the application has to handle it.

        The cache is not used while an earlier response is unfinished, or if the connection has to close.
        """
        cache, parser = self._pool.overload_cache, self._parser
        if cache is None or self._running is not None or self.flow.write_paused:
            return False
        if parser.expects_continue or not parser.keep_alive:
            return False
        response = cache.find(parser.method, parser.url, parser.headers)
        if response is None:
            return False
        self.write(self.encode_head(response.status_code, response.raw_headers) + response.body)
        self._server_state.total_requests += 1
        self._state = State.DISCARDING
        return True

    # Responses

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def encode_head(self, status: int, headers: Headers) -> bytes:
        """The head of a response, with the headers that every response has."""
        try:
            return self._pool.encoder.head(status, self._server_state.default_headers, headers)
        except ValueError as error:
            raise RuntimeError(str(error)) from error

    def close(self) -> None:
        """Close the connection, after reading and discarding the rest of a body that is still arriving."""
        if self._state is State.DISCARDING:
            self._state = State.LINGERING
            self.flow.resume_reading()
            if self.transport.can_write_eof():
                self.transport.write_eof()
        else:
            self.transport.close()

    def on_response_complete(self, cycle: RequestCycle) -> None:
        """Start the next request, or close the connection."""
        self._server_state.total_requests += 1
        self._release_body(cycle)
        self._running = None
        if cycle.more_body and self._state is State.BODY:
            self._state = State.DISCARDING
        self._cache_overload(cycle.scope)
        if not cycle.keep_alive:
            self.close()
            return
        if self._pipeline:
            self._start(self._pipeline.popleft())
        elif self._state is State.IDLE:
            self._since = self._loop.time()
        if not self._pipeline:
            self.flow.resume_reading()

    def _cache_overload(self, scope: Mapping[str, Any]) -> None:
        """Have later requests to the same URL rejected, if the application has set a responder."""
        cache, responder = self._pool.overload_cache, scope.get(OVERLOAD_RESPONDER)
        if cache is not None and responder is not None:
            query = scope["query_string"]
            url = scope["raw_path"] + (b"?" + query if query else b"")
            cache.add(scope["method"].encode(), url, responder)

    def _release_body(self, cycle: RequestCycle | None = None) -> None:
        """Stop counting the body of one request, or of all requests of the connection."""
        released = self._held_bytes if cycle is None else min(cycle.held_bytes, self._held_bytes)
        self._held_bytes -= released
        self._pool.held_bytes -= released

    def _too_many_bytes(self) -> ProtocolError:
        message = "the server holds too many bytes of request bodies; try again later"
        return ProtocolError(429, RejectionReason.TOO_MANY_BYTES, message)

    def _reject(self, error: ProtocolError) -> None:
        """Send an error response, unless another response prevents it, and ignore further input."""
        self._pool.rejections.count(error.reason)
        self._release_body()
        if self._state in (State.DISCARDING, State.LINGERING):  # the response is already sent
            self.transport.close()
            return
        running = self._running
        if running is not None:
            if self._state is not State.BODY or self._pipeline:
                # A later request is at fault: the one in progress still gets its response.
                self._pipeline.clear()
                running.keep_alive = False
                self._enter(State.LAST_RESPONSE)
                return
            running.disconnect()
            if running.response_started:
                self.transport.abort()
                return
        self._enter(State.REJECTED)
        body = error.body
        headers = [*error.headers, (b"content-length", b"%d" % len(body)), CLOSE]
        self.write(self.encode_head(error.status, headers) + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()


def _address(transport: asyncio.Transport, name: str) -> tuple[str, int] | None:
    """The host and port of one end of a TCP connection; None for other kinds of sockets."""
    address = transport.get_extra_info(name)
    return (str(address[0]), int(address[1])) if isinstance(address, tuple) else None
