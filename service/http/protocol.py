"""One connection of HTTP/1.1 within bounds: uvicorn's, with what uvicorn leaves to a proxy in front.

A proxy need not be there: the limits below hold against a client that sends slowly or not at all, sends too
much, reads too slowly, or comes with too many of its like. None costs a request more than a few comparisons:
what takes time is looked at from outside, once a second, by `check`.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from ..config.limits import ConnectionLimits
from ..telemetry.rejections import RejectionCounters, RejectionReason
from .direct import DirectConnection, ShortWays
from .refused import ProtocolError
from .scope_extensions import CANCELLABLE, CLIENT_LEFT

# How long a refused client may take to read why, before the connection is cut.
LINGER_SECONDS = 2.0
# A part of the connections' number: so many more may be there to read that they are refused.
LINGERING = 0.25


class Receiving(Enum):
    """What is to come from the client."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class Connections:
    """What the connections of one process have in common, and their maker.

    Args:
        ways: None where something has to see each request and each answer.

    Attributes:
        held: bytes of bodies that have come and whose requests are not yet answered.
    """

    def __init__(self, limits: ConnectionLimits, refusals: RejectionCounters, ways: ShortWays | None) -> None:
        self.limits = limits
        self.refusals = refusals
        self.ways = ways
        self.held = 0

    def make(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> Connection:
        """In the form in which uvicorn calls a protocol's class."""
        return Connection(self, config, server_state, app_state, _loop)

    def check(self, state: ServerState) -> None:
        """Refuse or cut those that take too long."""
        now = asyncio.get_running_loop().time()
        for connection in list(state.connections):
            assert isinstance(connection, Connection)
            connection.check(now)


class Connection(DirectConnection):
    """uvicorn's protocol, that looks at what comes before uvicorn keeps it."""

    def __init__(
        self,
        shared: Connections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        super().__init__(shared.ways, config, server_state, app_state, _loop)
        self._shared = shared
        self._limits = shared.limits
        self._receiving = Receiving.HEAD
        self._since = self.loop.time()
        self._unread_since: float | None = None
        self._refused_at: float | None = None
        self._head_bytes = 0
        self._chunk = b""
        self._offered = False
        self._held = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections * (1 + LINGERING) + 1:
            self._shared.refusals.count(RejectionReason.TOO_MANY_CONNECTIONS)
            transport.abort()
        elif len(self.connections) > self._limits.max_connections:
            self._refuse(
                ProtocolError(
                    503, RejectionReason.TOO_MANY_CONNECTIONS, "the server has too many connections"
                )
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """A client that has gone waits for nothing: rows of its request that wait are not computed."""
        super().connection_lost(exc)
        self._release()
        if self._running is None:
            return
        cycle, task = self._running
        if not cycle.response_complete:
            cycle.disconnected = (
                True  # uvicorn says so to the newest request alone, which may stand behind it
            )
            cycle.message_event.set()
            if CANCELLABLE in cycle.scope:
                task.cancel(CLIENT_LEFT)

    def data_received(self, data: bytes) -> None:
        if self._refused_at is not None:
            return
        self._unset_keepalive_if_required()
        if self._receiving is Receiving.NOTHING:
            self._begin_head()
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        self._chunk = data
        try:
            self.parser.feed_data(data)
            if self._receiving is Receiving.HEAD:
                self._head_bytes += len(data)
                if self._head_bytes > self._limits.max_head_bytes:
                    raise self._large_head()
        except httptools.HttpParserUpgrade as offer:
            if self._offered:
                self._decline(data[offer.args[0] :])
        except ProtocolError as refused:
            self._refuse(refused)
        except httptools.HttpParserError as error:
            cause = error.__context__
            malformed = ProtocolError(400, RejectionReason.MALFORMED, "this is no request of HTTP/1.1")
            self._refuse(cause if isinstance(cause, ProtocolError) else malformed)

    def on_message_begin(self) -> None:
        if self._receiving is not Receiving.HEAD:  # it stands behind another in the same chunk
            self._unset_keepalive_if_required()
            self._begin_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._offered = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._offered:
            return
        limits = self._limits
        if len(self.headers) > limits.max_headers:
            raise self._large_head()
        # A head that lies in one chunk with what follows is only counted where it could be too large.
        if self._head_bytes + len(self._chunk) > limits.max_head_bytes:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > limits.max_head_bytes:
                raise self._large_head()
        if self._shared.held > limits.max_bodies_bytes:
            raise self._too_many_bytes()
        self._receiving = Receiving.BODY
        self._since = self.loop.time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._turned_away and not self.cycle.response_complete:
            self._held += len(body)
            self._shared.held += len(body)
            if self._shared.held > self._limits.max_bodies_bytes:
                raise self._too_many_bytes()
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._offered:
            return
        self._receiving = Receiving.NOTHING
        super().on_message_complete()
        if self.timeout_keep_alive_task is None and self.cycle is not None and self.cycle.response_complete:
            # It was answered before its body was there, which then stopped the clock of an idle connection.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        self._release()
        super().on_response_complete()

    def check(self, now: float) -> None:
        """Refuse the client, or cut it off, where it takes too long."""
        if self._refused_at is not None:
            if now - self._refused_at > LINGER_SECONDS:
                self.transport.abort()
        elif self.flow.read_paused:  # it is we who do not read
            self._since = now
        elif self._receiving is Receiving.HEAD and now - self._since > self._limits.head_timeout:
            self._refuse(
                ProtocolError(408, RejectionReason.SLOW_HEAD, "the request's head took too long to come")
            )
        elif self._receiving is Receiving.BODY and now - self._since > self._limits.body_timeout:
            self._refuse(
                ProtocolError(408, RejectionReason.SLOW_BODY, "the request's body took too long to come")
            )
        self._check_reader(now)

    def _check_reader(self, now: float) -> None:
        if not self.transport.get_write_buffer_size():
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since > self._limits.write_timeout:
            self._shared.refusals.count(RejectionReason.SLOW_READER)
            self.transport.abort()

    def _decline(self, rest: bytes) -> None:
        """Read the request again without its offer to go on in another protocol.

        Java's client makes one with its first request. httptools takes it for the end of the request, and a
        body would be lost.
        """
        self._head_bytes = 0
        kept = [(name, value) for name, value in self.headers if name not in (b"upgrade", b"connection")]
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in kept]
        self.parser = httptools.HttpRequestParser(self)
        self._feed(b"\r\n".join([*lines, b"", rest]))

    def _begin_head(self) -> None:
        self._receiving = Receiving.HEAD
        self._since = self.loop.time()
        self._head_bytes = 0

    def _release(self) -> None:
        self._shared.held -= self._held
        self._held = 0

    def _large_head(self) -> ProtocolError:
        limits = self._limits
        sentence = (
            f"the request's head is larger than {limits.max_head_bytes} bytes or {limits.max_headers} headers"
        )
        return ProtocolError(431, RejectionReason.LARGE_HEAD, sentence)

    def _too_many_bytes(self) -> ProtocolError:
        return ProtocolError(
            429,
            RejectionReason.TOO_MANY_BYTES,
            "the server holds as many bytes of requests as it may; try again later",
        )

    def _refuse(self, refused: ProtocolError) -> None:
        """Say why, where nothing of another answer is in the way, and take nothing more from this client."""
        self._shared.refusals.count(refused.reason)
        self._release()
        if self._parting:  # it has its answer
            self.transport.close()
            return
        cycle = self._running[0] if self._running else None
        if cycle is not None and not cycle.response_complete:
            if self._receiving is not Receiving.BODY or cycle is not self.cycle:
                # It is not this request that is refused but one that stands behind it.
                cycle.keep_alive = False
                self.pipeline.clear()
                self._refused_at = float("inf")
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
                return
        self._refused_at = self.loop.time()
        self.transport.write(refused.as_http())
        if self.transport.can_write_eof():
            # A close while the client still sends would reset the connection and take the answer with it.
            self.transport.write_eof()
        else:
            self.transport.close()
