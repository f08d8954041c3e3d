"""A gRPC connection that sends prepared messages, one call at a time.

The official Python client needs about as much CPU time for a call as the server does. This one implements the
minimum of HTTP/2 (RFC 9113), so that the generator leaves the cores to the server.
"""

from __future__ import annotations

import asyncio
import struct

from .hpack import decode, encode
from .http1 import Connection, OnLoss, OnResponse

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 4, 5
DEFAULT_WINDOW, MAX_WINDOW = 65_535, 2**31 - 1
FRAME_HEAD, PREFIX_BYTES = 9, 5
STREAM_RESET = "RST_STREAM"
UNKNOWN = "UNKNOWN"
# By number: https://grpc.github.io/grpc/core/md_doc_statuscodes.html
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
    """A `Connection` whose `send` takes a serialized message.

    Responses are passed on without their length prefix, with the name of the gRPC status code as status.

    Args:
        method: in the form `/package.Service/Method`.
        authority: `host:port`.
        key: the API key; None if the server needs none.
    """

    __slots__ = (
        "_block",
        "_buffer",
        "_connection_window",
        "_head",
        "_initial_window",
        "_max_frame_size",
        "_pending",
        "_stream",
        "_stream_window",
        "_unacknowledged",
    )

    def __init__(
        self, on_response: OnResponse, on_loss: OnLoss, method: str, authority: str, key: str | None = None
    ) -> None:
        super().__init__(on_response, on_loss)
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
        self._pending = b""
        self._stream_window = 0  # bytes that the server still accepts on the stream
        self._connection_window = DEFAULT_WINDOW
        self._initial_window = DEFAULT_WINDOW
        self._max_frame_size = 16_384
        self._unacknowledged = 0  # bytes received since the last window update

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Without a dynamic table a header block can be decoded independently of earlier ones.
        settings = struct.pack(">HIHI", HEADER_TABLE_SIZE, 0, INITIAL_WINDOW_SIZE, MAX_WINDOW)
        more = struct.pack(">I", MAX_WINDOW - DEFAULT_WINDOW)
        self._write(PREFACE + _frame(SETTINGS, 0, 0, settings) + _frame(WINDOW_UPDATE, 0, 0, more))

    def send(self, data: bytes) -> None:
        self.busy = True
        self._stream += 2
        self._stream_window = self._initial_window
        self._pending = struct.pack(">BI", 0, len(data)) + data
        self._flush(_frame(HEADERS, END_HEADERS, self._stream, self._head))

    def _flush(self, first: bytes = b"") -> None:
        frames = [first]
        while (
            self._pending
            and (room := min(self._stream_window, self._connection_window, self._max_frame_size)) > 0
        ):
            part, self._pending = self._pending[:room], self._pending[room:]
            self._stream_window -= len(part)
            self._connection_window -= len(part)
            frames.append(_frame(DATA, 0 if self._pending else END_STREAM, self._stream, part))
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
                self._on_frame(kind, flags, stream, buffer[at + FRAME_HEAD : end])
                at = end
        except ValueError:
            self.close()
        self._buffer = buffer[at:]

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA and stream == self._stream:
            self.on_body(_without_padding(payload, flags))
            self._acknowledge(len(payload))
        elif kind in (HEADERS, CONTINUATION) and stream == self._stream:
            self._block += _without_padding(payload, flags) if kind == HEADERS else payload
            if flags & END_HEADERS:
                block, self._block = self._block, b""
                if self._is_last(kind, flags):
                    self._finish(_status(block))
        elif kind == SETTINGS and not flags & ACK:
            self._on_settings(payload)
        elif kind == PING and not flags & ACK:
            self._write(_frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            self._on_window_update(stream, int.from_bytes(payload, "big"))
        elif kind == RST_STREAM and stream == self._stream and self.busy:
            self._finish(STREAM_RESET)
        elif kind == GOAWAY:
            self.close()

    def _is_last(self, kind: int, flags: int) -> bool:
        """True if a header block contains the trailers, which end the stream.

        Continuations carry no such flag; gRPC's headers are too short to need them.
        """
        return kind == HEADERS and bool(flags & END_STREAM)

    def _finish(self, status: str) -> None:
        body, self._body = self._body, b""
        self.busy = False
        self._pending = b""
        self._on_response(self, status, body[PREFIX_BYTES:])

    def _on_settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == INITIAL_WINDOW_SIZE:
                self._stream_window += value - self._initial_window
                self._initial_window = value
            elif name == MAX_FRAME_SIZE:
                self._max_frame_size = value
        self._write(_frame(SETTINGS, ACK, 0, b""))
        self._flush()

    def _on_window_update(self, stream: int, more: int) -> None:
        if not stream:
            self._connection_window += more
        elif stream == self._stream:
            self._stream_window += more
        self._flush()

    def _acknowledge(self, length: int) -> None:
        """Reopen the connection's window of 2 GiB, which a long run uses up."""
        self._unacknowledged += length
        if self._unacknowledged > MAX_WINDOW // 2:
            self._write(_frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._unacknowledged)))
            self._unacknowledged = 0


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _without_padding(payload: bytes, flags: int) -> bytes:
    start, end = 0, len(payload)
    if flags & PADDED:
        start, end = 1, end - payload[0]
    return payload[start + (5 if flags & PRIORITY else 0) : end]


def _status(trailers: bytes) -> str:
    """The name of the gRPC status code."""
    for name, value in decode(trailers):
        if name == b"grpc-status" and value is not None and value.isdigit():
            number = int(value)
            return CODES[number] if number < len(CODES) else UNKNOWN
    return UNKNOWN
