"""Passes the bytes of a connection to its parser, only as fast as its requests are served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..client_budget import Account
from .flow_control import FlowControl
from .request_parser import RequestParser
from .turns.parse_turns import ParseTurns

if TYPE_CHECKING:
    from .protocol import HttpProtocol

# Bytes that may hold many small requests, or many small chunks, are parsed in pieces: until a request has to
# wait for another, and for a limited time in one iteration of the event loop, which all connections share. A
# request takes a hundred times the memory of its shortest head, so few are parsed before they can begin.
PIECE_BYTES = 16 * 1024
HEAD_PIECE_BYTES = 1024
# Few bytes of few lines are parsed at once, without a turn: usually they are one request.
SMALL_BYTES = 4 * 1024
FEW_LINES = 32
# Memory of a connection's TLS session; a connection without TLS takes 4 KiB, which are not charged.
TLS_BYTES = 48 * 1024
# With TLS, uvloop keeps buffers of this size once a connection has received large data.
TLS_BUFFER_BYTES = 512 * 1024


class InputBuffer:
    """Holds the bytes that cannot be parsed yet; reading is paused meanwhile.

    The held bytes are charged to the connection's account.
    """

    __slots__ = ("_account", "_connection", "_flow", "_held", "_parser", "_turns", "_uncharged")

    def __init__(
        self,
        connection: HttpProtocol,
        parser: RequestParser,
        account: Account,
        flow: FlowControl,
        turns: ParseTurns,
        *,
        secure: bool,
    ) -> None:
        self._connection = connection
        self._parser = parser
        self._account = account
        self._flow = flow
        self._turns = turns
        self._held = b""
        self._uncharged = TLS_BUFFER_BYTES if secure else 0

    def feed(self, data: bytes) -> None:
        """Parse data that has arrived, or hold it.

        Raises:
            ProtocolError, BudgetExceeded, PayloadTooLarge: it is malformed, or a limit is exceeded.
        """
        if self._held:
            self._hold(data)
        elif len(data) <= SMALL_BYTES and data.count(b"\n") <= FEW_LINES:
            self._parse_piece(data)
        else:
            self._parse(data)

    def resume(self) -> None:
        """Parse what is held, and read on if all of it is parsed; raises as `feed` does."""
        if self._held and not self._connection.is_full:
            if self._turns.are_over:
                self._wait()
                return
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
        while rest:
            if self._connection.is_full:
                self._hold(bytes(rest))
                return
            begins = self._connection.is_idle or self._connection.reads_head
            piece = rest[: HEAD_PIECE_BYTES if begins else PIECE_BYTES]
            if not (begins or self._parser.chunked):
                self._parse_piece(piece)
            elif self._turns.are_over:
                self._hold(bytes(rest))
                self._wait()
                return
            else:
                self._turns.begin()
                try:
                    self._parse_piece(piece)
                finally:
                    self._turns.end()
            rest = rest[len(piece) :]

    def _wait(self) -> None:
        self._flow.pause_reading()
        self._turns.wait(self._connection.continue_reading)

    def _parse_piece(self, piece: bytes | memoryview) -> None:
        if self._connection.is_idle:
            self._connection.begin_request()
        self._parser.feed(piece)

    def _hold(self, data: bytes) -> None:
        self._account.charge(len(data))
        self._held += data
