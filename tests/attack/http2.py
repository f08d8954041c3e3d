"""A blocking HTTP/2 connection that sends what gRPC libraries do not, such as a reset after each request."""

from __future__ import annotations

import socket
import struct

from service.loadgen.clients.hpack import decode, encode

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 1, 4
DEFAULT_WINDOW, MAX_WINDOW = 65_535, 2**31 - 1
FRAME_BYTES = 16_384
CANCEL = 8
OK = "0"


class Http2:
    """A connection whose calls are told apart by the number of their stream."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._received = b""
        self._last = -1
        self._initial_window = self._connection_window = DEFAULT_WINDOW
        self._windows: dict[int, int] = {}
        self.statuses: dict[int, str] = {}  # of the streams that have ended
        self.bodies: dict[int, bytes] = {}
        # Without a dynamic table each header block can be decoded by itself.
        settings = struct.pack(">HIHI", HEADER_TABLE_SIZE, 0, INITIAL_WINDOW_SIZE, MAX_WINDOW)
        more = struct.pack(">I", MAX_WINDOW - DEFAULT_WINDOW)
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, more))

    def close(self) -> None:
        self._connection.close()

    def open(self, method: str) -> int:
        """Sends the headers of a call and returns the number of its stream."""
        self._last += 2
        self._windows[self._last] = self._initial_window
        self._connection.sendall(headers(self._last, method))
        return self._last

    def send(self, stream: int, data: bytes | memoryview, *, end: bool = True) -> None:
        """Sends a part of the call's data as the windows allow; stops when the call has ended."""
        rest = memoryview(data)
        while rest and stream not in self.statuses:
            room = min(self._windows[stream], self._connection_window, FRAME_BYTES)
            if room <= 0:
                self.receive()
                continue
            part, rest = rest[:room], rest[room:]
            self._windows[stream] -= len(part)
            self._connection_window -= len(part)
            self._connection.sendall(frame(DATA, END_STREAM if end and not rest else 0, stream, bytes(part)))
        if end and not data:
            self._connection.sendall(frame(DATA, END_STREAM, stream, b""))

    def status(self, stream: int) -> str:
        """Waits for the end of a call; returns the number of its gRPC status, or `reset`."""
        while stream not in self.statuses:
            self.receive()
        return self.statuses.pop(stream)

    def unary(self, method: str, message: bytes = b"") -> tuple[str, bytes]:
        """Makes a call; returns its status and the response's message."""
        stream = self.open(method)
        self.send(stream, prefixed(message))
        status = self.status(stream)
        return status, self.bodies.pop(stream, b"")[5:]

    def write(self, data: bytes) -> None:
        """Sends frames as they are."""
        self._connection.sendall(data)

    def receive(self) -> None:
        """Waits for bytes and handles the frames in them.

        Raises:
            ConnectionError: the server closed the connection, or is about to.
        """
        data = self._connection.recv(1 << 18)
        if not data:
            raise ConnectionResetError("closed by the server")
        self._received += data
        at = 0
        while len(self._received) >= at + 9:
            length = int.from_bytes(self._received[at : at + 3], "big")
            if len(self._received) < at + 9 + length:
                break
            kind, flags = self._received[at + 3 : at + 5]
            stream = int.from_bytes(self._received[at + 5 : at + 9], "big")
            self._handle(kind, flags, stream, self._received[at + 9 : at + 9 + length])
            at += 9 + length
        self._received = self._received[at:]

    def _handle(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self.bodies[stream] = self.bodies.get(stream, b"") + payload
            if payload:
                self._connection.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(payload))))
        elif kind == HEADERS and flags & END_STREAM:
            self.statuses[stream] = _status(payload)
        elif kind == RST_STREAM:
            self.statuses.setdefault(stream, "reset")
        elif kind == SETTINGS and not flags & ACK:
            self._set(payload)
        elif kind == PING and not flags & ACK:
            self._connection.sendall(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            if not stream:
                self._connection_window += more
            elif stream in self._windows:
                self._windows[stream] += more
        elif kind == GOAWAY and int.from_bytes(payload[4:8], "big"):
            raise ConnectionAbortedError(f"the server goes away: {payload[8:].decode('latin-1')}")

    def _set(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == INITIAL_WINDOW_SIZE:
                for stream in self._windows:
                    self._windows[stream] += value - self._initial_window
                self._initial_window = value
        self._connection.sendall(frame(SETTINGS, ACK, 0, b""))


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(stream: int, method: str) -> bytes:
    """The frame that opens a call of a method in the form `/package.Service/Method`."""
    fields = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": method.encode(),
        b":authority": b"localhost",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
    }
    return frame(HEADERS, END_HEADERS, stream, encode(fields.items()))


def reset(stream: int) -> bytes:
    """The frame that cancels a call."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))


def prefixed(message: bytes) -> bytes:
    """A message as gRPC sends it."""
    return struct.pack(">BI", 0, len(message)) + message


def _status(trailers: bytes) -> str:
    for name, value in decode(trailers):
        if name == b"grpc-status" and value is not None:
            return value.decode("latin-1")
    return "without a status"
