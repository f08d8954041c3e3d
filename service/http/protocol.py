"""HTTP/1.1 on one connection, within limits.

Limits apply to clients that send slowly or not at all, send too much, read too slowly, or open too many
connections: the server needs no proxy in front of it. Time limits are checked once a second.

A client usually reads only after it has sent its whole request. Closing the connection earlier
would reset it and lose the response, so the server first reads and discards the rest (a lingering close).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import ServerState

from ..client_budget import Account
from ..client_budget.identity import address_identity
from ..errors import BudgetExceeded, PayloadTooLarge
from ..security.authorization import PROBES
from ..telemetry.rejections import RejectionReason
from .connection_scope import connection_scope
from .connection_state import State
from .connections.slots import Slot, close_transport
from .flow_control import FlowControl
from .input_buffer import TLS_BYTES, InputBuffer
from .request_cycle import RequestCycle
from .request_parser import RequestParser
from .response_bytes import CLOSE, Headers, ProtocolError, too_many_bytes
from .scope_extensions import ACCOUNT, CANCELLABLE, CLIENT_DISCONNECTED, OVERLOAD_RESPONDER, REJECTED
from .time_limits import TimeLimits

if TYPE_CHECKING:
    from .connection_pool import ConnectionPool

# How long a rejected client may take to read the response before the connection is cut.
LINGER_SECONDS = 2.0
# Reading pauses while this many bytes of a body wait for the application.
MAX_UNREAD_BYTES = 64 * 1024
EVICTED = "the server needs the memory of this slow request for others; try again later"
# Memory of a request without its head and body: its scope, its task and the objects of the application.
REQUEST_BYTES = 4096


class HttpProtocol(asyncio.Protocol):
    """One connection: feeds its parser, runs the application for each request, and writes the responses.

    `ConnectionPool.connect` creates it. uvicorn.Server finds it in `ServerState.connections`, and calls
    `shutdown`. Its parser calls the methods named `on_…`.

    Attributes:
        app: the application.
        body_bytes: bytes of all bodies that have arrived, without their framing.
        tasks: the running requests of all connections.
    """

    def __init__(
        self, pool: ConnectionPool, slot: Slot, config: Config, state: ServerState, app_state: dict[str, Any]
    ) -> None:
        self.transport: asyncio.Transport
        self.flow: FlowControl
        self._pool = pool
        self._slot = slot
        self.app: ASGIApp = config.loaded_app
        self._server_state = state
        # uvicorn's annotation allows only its own protocol classes.
        self._connections = cast("set[asyncio.Protocol]", state.connections)
        self.tasks = state.tasks
        self._app_state = app_state
        self._keep_alive = config.timeout_keep_alive
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser(self, pool.limits)
        self._state = State.HEAD
        self._time_limits = TimeLimits(pool.limits, self._loop.time())
        self._scope: dict[str, Any] = {}

        self._arriving: RequestCycle | None = None  # the request whose body is arriving
        self._running: RequestCycle | None = None
        self._pipeline: deque[RequestCycle] = deque()
        self._has_responded = False
        self._account: Account  # holds the bytes that belong to no request
        self._input: InputBuffer
        self.body_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports do not inherit from asyncio's.
        self.transport = transport = cast("asyncio.Transport", transport)
        self._scope = connection_scope(transport)
        client = self._scope["client"]
        self._account = self._pool.budget.account(address_identity(client[0] if client else ""))
        self.flow = FlowControl(transport, self._account)
        secure = self._scope["scheme"] == "https"
        self._input = InputBuffer(
            self, self._parser, self._account, self.flow, self._pool.parse_turns, secure=secure
        )
        self._connections.add(self)
        self._time_limits.since = self._loop.time()
        self._slot.close = self._close_idle
        if not self._slot.take_for(transport):
            self._close_idle(ordinary=False)
        elif secure:
            try:
                self._account.charge(TLS_BYTES)
            except BudgetExceeded:
                self._pool.rejections.count(RejectionReason.TOO_MANY_BYTES)
                self._close_idle(ordinary=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the disconnect to the application, and cancel its task if it is cancellable."""
        self._connections.discard(self)
        self._slot.release()
        self._account.close()
        self.flow.resume_writing()
        self._state = State.REJECTED
        self._clear_pipeline()
        self._parser.close()
        self._arriving = None
        running, self._running = self._running, None
        if running is not None:
            running.disconnect()
            if running.task is None:
                running.account.close()
            elif CANCELLABLE in running.scope:
                running.task.cancel(CLIENT_DISCONNECTED)

    def data_received(self, data: bytes) -> None:
        if self._state in (State.REJECTED, State.LAST_RESPONSE):
            return
        try:
            self._input.feed(data)
        except (ProtocolError, BudgetExceeded, PayloadTooLarge) as error:
            self._reject(error)

    def continue_reading(self) -> None:
        """Parse and read further, unless requests of the pipeline wait."""
        if self._state in (State.REJECTED, State.LAST_RESPONSE):
            return
        try:
            self._input.resume()
        except (ProtocolError, BudgetExceeded, PayloadTooLarge) as error:
            self._reject(error)

    def pause_writing(self) -> None:
        if self.flow.pause_writing():
            self._account.evict = self.abort_reader
        else:
            self.abort_reader()

    def resume_writing(self) -> None:
        self._account.evict = None
        self.flow.resume_writing()

    def abort_reader(self) -> None:
        """Cut the connection of a client that does not read its responses."""
        self._pool.rejections.count(RejectionReason.SLOW_READER)
        self._account.close()
        self.transport.abort()

    def shutdown(self) -> None:
        """Close the connection once every received request has its response."""
        if self._running is None:
            self.transport.close()
        else:
            (self._pipeline[-1] if self._pipeline else self._running).keep_alive = False

    def _close_idle(self, ordinary: bool) -> None:
        """Close the connection because another needs its slot."""
        self._enter(State.REJECTED)
        close_transport(self.transport, ordinary=ordinary)

    def check(self, now: float) -> None:
        """Reject the client, or close the connection, if it takes too long."""
        limits = self._time_limits
        try:
            if self._state is State.REJECTED:
                if limits.waited(now) > LINGER_SECONDS:
                    self.transport.abort()
            elif self.flow.read_paused:  # the server does not read: the client is not slow
                limits.since = now
            elif self._state is State.HEAD:
                limits.check_head(now)
            elif self._state is State.IDLE:
                if self._running is None and limits.waited(now) > self._keep_alive:
                    self.transport.close()
            elif self._state is not State.LAST_RESPONSE:
                limits.check_body(now, self.body_bytes)
        except ProtocolError as error:
            self._reject(error)
        if limits.is_slow_reader(now, self.transport.get_write_buffer_size()):
            self.abort_reader()

    # Requests

    @property
    def is_idle(self) -> bool:
        return self._state is State.IDLE

    @property
    def reads_head(self) -> bool:
        return self._state is State.HEAD

    @property
    def is_full(self) -> bool:
        """True if a received request waits for an earlier one."""
        return bool(self._pipeline)

    def begin_request(self) -> None:
        """Expect the head of a request, at the start of the next bytes."""
        self._enter(State.HEAD)
        self._parser.begin_head()

    def _enter(self, state: State) -> None:
        self._state = state
        self._time_limits.since = self._loop.time()

    def on_head(self) -> bool:
        """A request begins; returns True if it is in the same chunk as the end of the previous one."""
        if self._state is State.HEAD:
            return False
        self._enter(State.HEAD)
        return True

    def on_request(self) -> None:
        """The head of a request is complete."""
        self._enter(State.BODY)
        if self._reject_overloaded():
            return
        parser = self._parser
        scope = parser.scope(self._scope)
        scope["state"] = self._app_state.copy()
        keep_alive = parser.keep_alive
        if self._slot.reserved:
            keep_alive &= self._pool.admit(self._slot, scope["path"])
        # Probes also get an answer if their client, or others behind its proxy, hold too much.
        is_probe = self._running is None and scope["path"] in PROBES
        size = 0 if is_probe else REQUEST_BYTES + parser.head_bytes
        account = scope[ACCOUNT] = Account(self._pool.budget, self._pool.peer(self._account, scope), size)
        account.evict = self._evict_upload
        cycle = RequestCycle(
            self,
            scope,
            account,
            keep_alive=keep_alive,
            awaits_continue=parser.expects_continue and parser.version == "1.1",
        )
        self._arriving = cycle
        if self._running is None:
            self._start(cycle)
        else:
            self.flow.pause_reading()
            self._pipeline.append(cycle)

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        cycle = self._arriving
        if self._state is not State.BODY or cycle is None:
            return
        cycle.account.charge(len(body))
        if cycle.add_body(body) > MAX_UNREAD_BYTES:
            self.flow.pause_reading()
        self._wake(cycle)

    def on_request_complete(self) -> None:
        if self._state is State.LINGERING:
            self.transport.close()
            return
        if self._arriving is not None:
            cycle, self._arriving = self._arriving, None
            cycle.account.evict = None
            if cycle is not self._running:
                cycle.account.wait(partial(self._reject, BudgetExceeded(EVICTED, retry_after=1.0)))
            cycle.more_body = False
            self._wake(cycle)
        self._enter(State.IDLE)

    def _start(self, cycle: RequestCycle) -> None:
        self._running = cycle
        cycle.account.begin()
        self._slot.begin_request()
        self._take_turn(cycle, cycle.begin)

    def _wake(self, cycle: RequestCycle) -> None:
        """Have the application receive what has arrived of the body, if it waits for it."""
        if cycle.needs_turn():
            self._take_turn(cycle, cycle.wake)

    def _take_turn(self, cycle: RequestCycle, begin: Callable[[], None]) -> None:
        self._pool.request_turns.take(begin, cycle.account.peer, is_first=not self._has_responded)

    def _reject_overloaded(self) -> bool:
        """Reject the request from the overload cache; returns False if the application has to handle it.

        The cache is not used while an earlier response is unfinished, or if the connection has to close.
        """
        cache, parser = self._pool.overload_cache, self._parser
        if cache is None or not cache.responders or self._running is not None or self.flow.write_paused:
            return False
        if parser.expects_continue or not parser.keep_alive:
            return False
        response = cache.find(parser.method, parser.url, parser.headers)
        if response is None:
            return False
        self.write(self.encode_head(response.status_code, response.raw_headers) + response.body)
        self._server_state.total_requests += 1
        self._slot.answered_at_once()
        self._state = State.DISCARDING
        return True

    # Responses

    def write(self, data: bytes | memoryview) -> None:
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
        self._running = None
        self._has_responded = True
        self._slot.end_request()
        if cycle.more_body and self._state is State.BODY:
            self._state = State.DISCARDING
        if OVERLOAD_RESPONDER in cycle.scope and self._pool.overload_cache is not None:
            self._pool.overload_cache.add_request(cycle.scope)
        if not cycle.keep_alive:
            self.close()
            return
        if self._pipeline:
            self._start(self._pipeline.popleft())
        elif self._state is State.IDLE:
            self._time_limits.since = self._loop.time()
        if self.flow.read_paused:  # also while bytes are held
            self.continue_reading()

    def _evict_upload(self) -> None:
        """Reject the request whose body is arriving, to make room for others."""
        cycle = self._arriving
        # One that is rejected or cut already takes no response, and its transport raises if it is written to.
        if self._state is State.BODY and not self.transport.is_closing():
            self._reject(BudgetExceeded(EVICTED, retry_after=1.0))
        if cycle is not None:
            cycle.account.close()

    def _clear_pipeline(self) -> None:
        for cycle in self._pipeline:
            cycle.account.close()
        self._pipeline.clear()
        self._input.clear()

    def _reject(self, error: ProtocolError | BudgetExceeded | PayloadTooLarge) -> None:
        """Send an error response, unless another response prevents it, and ignore further input."""
        if not isinstance(error, ProtocolError):
            error = too_many_bytes(error)
        self._pool.rejections.count(error.reason)
        if self._state in (State.DISCARDING, State.LINGERING):  # the response is already sent
            self.transport.close()
            return
        running = self._running
        if running is not None:
            if self._arriving is not running:
                # A later request is at fault: the one in progress still gets its response.
                self._arriving = None
                self._clear_pipeline()
                running.keep_alive = False
                self._enter(State.LAST_RESPONSE)
                return
            running.scope[REJECTED] = error.status
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
