"""One connection of gRPC that sends prepared messages, one call at a time.

gRPC's own Python client needs about as long for a call as the server; this one does as little as
HTTP/2 (RFC 9113) allows, so that a generator leaves the cores to the server.
"""

from __future__ import annotations

import asyncio
import struct

from .hpack import decode, encode
from .http1 import Connection, OnAnswer, OnLoss

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 4, 5
DEFAULT_WINDOW, LARGEST_WINDOW = 65_535, 2**31 - 1
FRAME_HEAD, PREFIX_BYTES = 9, 5
STREAM_REFUSED = "RST_STREAM"
UNKNOWN = "UNKNOWN"
# https://grpc.github.io/grpc/core/md_doc_statuscodes.html, by number.
CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)


class GrpcConnection(Connection):
    """The same for its owner as one of HTTP/1.1: `send` takes a serialised message, answers come without
    their prefix, with gRPC's codes as status.

    Args:
        method: as `/package.Service/Method`.
        authority: `host:port`.
        key: an API key, if the server wants one.
    """

    __slots__ = (
        "_block",
        "_buffer",
        "_credit",
        "_frame",
        "_head",
        "_initial",
        "_stream",
        "_taken",
        "_unsent",
        "_window",
    )

    def __init__(
        self, on_answer: OnAnswer, on_loss: OnLoss, method: str, authority: str, key: str | None = None
    ) -> None:
        super().__init__(on_answer, on_loss)
        fields = {
            b":method": b"POST",
            b":scheme": b"http",
            b":path": method.encode(),
            b":authority": authority.encode(),
            b"te": b"trailers",
            b"content-type": b"application/grpc",
        }
        if key is not None:
            fields[b"authorization"] = f"Bearer {key}".encode()
        self._head = encode(fields.items())
        self._stream = -1
        self._buffer = b""
        self._block = b""
        self._unsent = b""
        self._credit = 0  # of the stream: bytes the server will still take
        self._window = DEFAULT_WINDOW  # the same of the connection
        self._initial = DEFAULT_WINDOW
        self._frame = 16_384
        self._taken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # No dynamic table, so that header blocks can be read without a memory of earlier ones.
        settings = struct.pack(">HIHI", HEADER_TABLE_SIZE, 0, INITIAL_WINDOW_SIZE, LARGEST_WINDOW)
        more = struct.pack(">I", LARGEST_WINDOW - DEFAULT_WINDOW)
        self._write(PREFACE + _frame(SETTINGS, 0, 0, settings) + _frame(WINDOW_UPDATE, 0, 0, more))

    def send(self, data: bytes) -> None:
        self.busy = True
        self._stream += 2
        self._credit = self._initial
        self._unsent = struct.pack(">BI", 0, len(data)) + data
        self._send_what_may_go(_frame(HEADERS, END_HEADERS, self._stream, self._head))

    def _send_what_may_go(self, before: bytes = b"") -> None:
        frames = [before]
        while self._unsent and (room := min(self._credit, self._window, self._frame)) > 0:
            part, self._unsent = self._unsent[:room], self._unsent[room:]
            self._credit -= len(part)
            self._window -= len(part)
            frames.append(_frame(DATA, 0 if self._unsent else END_STREAM, self._stream, part))
        self._write(b"".join(frames))

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        if data:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at = 0
        try:
            while len(buffer) - at >= FRAME_HEAD:
                length = int.from_bytes(buffer[at : at + 3], "big")
                end = at + FRAME_HEAD + length
                if end > len(buffer):
                    break
                kind, flags = buffer[at + 3], buffer[at + 4]
                stream = int.from_bytes(buffer[at + 5 : at + 9], "big")
                self._received(kind, flags, stream, buffer[at + FRAME_HEAD : end])
                at = end
        except ValueError:
            self.close()
        self._buffer = buffer[at:]

    def _received(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA and stream == self._stream:
            self.on_body(_without_padding(payload, flags))
            self._give_credit_back(len(payload))
        elif kind in (HEADERS, CONTINUATION) and stream == self._stream:
            self._block += _without_padding(payload, flags) if kind == HEADERS else payload
            if flags & END_HEADERS:
                block, self._block = self._block, b""
                if self._is_last(kind, flags):
                    self._end(_status(block))
        elif kind == SETTINGS and not flags & ACK:
            self._settle(payload)
        elif kind == PING and not flags & ACK:
            self._write(_frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            self._widen(stream, int.from_bytes(payload, "big"))
        elif kind == RST_STREAM and stream == self._stream and self.busy:
            self._end(STREAM_REFUSED)
        elif kind == GOAWAY:
            self.close()

    def _is_last(self, kind: int, flags: int) -> bool:
        """Headers that end the stream are the trailers; a continuation does not tell, and is never needed
        for headers as short as gRPC's."""
        return kind == HEADERS and bool(flags & END_STREAM)

    def _end(self, status: str) -> None:
        body, self._body = self._body, b""
        self.busy = False
        self._unsent = b""
        self._on_answer(self, status, body[PREFIX_BYTES:])

    def _settle(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == INITIAL_WINDOW_SIZE:
                self._credit += value - self._initial
                self._initial = value
            elif name == MAX_FRAME_SIZE:
                self._frame = value
        self._write(_frame(SETTINGS, ACK, 0, b""))
        self._send_what_may_go()

    def _widen(self, stream: int, more: int) -> None:
        if not stream:
            self._window += more
        elif stream == self._stream:
            self._credit += more
        self._send_what_may_go()

    def _give_credit_back(self, length: int) -> None:
        """The connection's window is 2 GiB, which a long run does use up."""
        self._taken += length
        if self._taken > LARGEST_WINDOW // 2:
            self._write(_frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._taken)))
            self._taken = 0


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _without_padding(payload: bytes, flags: int) -> bytes:
    start, end = 0, len(payload)
    if flags & PADDED:
        start, end = 1, end - payload[0]
    return payload[start + (5 if flags & PRIORITY else 0) : end]


def _status(trailers: bytes) -> str:
    """gRPC's code, by name."""
    for name, value in decode(trailers):
        if name == b"grpc-status" and value is not None and value.isdigit():
            number = int(value)
            return CODES[number] if number < len(CODES) else UNKNOWN
    return UNKNOWN
