"""Passes the bytes of a connection to its parser, only as fast as its requests are served."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ..client_budget import Account
from .flow_control import FlowControl
from .request_parser import RequestParser

if TYPE_CHECKING:
    from .protocol import HttpProtocol

# Bytes that may hold many small requests, or many small chunks, are parsed in pieces: until a request has to
# wait for another, and for a limited time in one iteration of the event loop.
PIECE_BYTES = 64 * 1024
CHUNKED_PIECE_BYTES = 16 * 1024
MAX_PARSE_SECONDS = 0.005
# With TLS, uvloop keeps buffers of this size once a connection has received large data.
TLS_BUFFER_BYTES = 512 * 1024


class InputBuffer:
    """Holds the bytes that cannot be parsed yet; reading is paused meanwhile.

    The held bytes are charged to the connection's account.
    """

    __slots__ = ("_account", "_connection", "_flow", "_held", "_parser", "_uncharged")

    def __init__(
        self,
        connection: HttpProtocol,
        parser: RequestParser,
        account: Account,
        flow: FlowControl,
        *,
        secure: bool,
    ) -> None:
        self._connection = connection
        self._parser = parser
        self._account = account
        self._flow = flow
        self._held = b""
        self._uncharged = TLS_BUFFER_BYTES if secure else 0

    def feed(self, data: bytes) -> None:
        """Parse data that has arrived, or hold it.

        Raises:
            ProtocolError, BudgetExceeded, PayloadTooLarge: it is malformed, or a limit is exceeded.
        """
        if self._held:
            self._hold(data)
        elif len(data) <= CHUNKED_PIECE_BYTES:
            self._parse_piece(data)
        else:
            self._parse(data)

    def resume(self) -> None:
        """Parse what is held, and read on if all of it is parsed; raises as `feed` does."""
        if self._held and not self._connection.is_full:
            data, self._held = self._held, b""
            self._account.release(len(data))
            self._parse(data)
        if not (self._held or self._connection.is_full):
            self._flow.resume_reading()

    def clear(self) -> None:
        self._account.release(len(self._held))
        self._held = b""

    def _parse(self, data: bytes) -> None:
        if self._uncharged:
            self._account.charge(self._uncharged)
            self._uncharged = 0
        rest = memoryview(data)
        until = time.monotonic() + MAX_PARSE_SECONDS
        while rest:
            size = self._piece_bytes(len(rest))
            self._parse_piece(rest[:size])
            rest = rest[size:]
            if not rest:
                return
            if self._connection.is_full:
                self._hold(bytes(rest))
                return
            if time.monotonic() > until:
                self._hold(bytes(rest))
                self._flow.pause_reading()
                asyncio.get_running_loop().call_soon(self._connection.continue_reading)
                return

    def _parse_piece(self, piece: bytes | memoryview) -> None:
        if self._connection.is_idle:
            self._connection.begin_request()
        self._parser.feed(piece)

    def _piece_bytes(self, available: int) -> int:
        """The bytes to parse at once: few if they may hold thousands of requests or chunks."""
        if self._connection.is_idle or self._connection.reads_head:
            return PIECE_BYTES
        return CHUNKED_PIECE_BYTES if self._parser.chunked else available

    def _hold(self, data: bytes) -> None:
        self._account.charge(len(data))
        self._held += data
