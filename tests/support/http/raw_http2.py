"""A gRPC client that sends single frames, and may leave calls unfinished or responses unread."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections import Counter
from contextlib import suppress
from types import TracebackType
from typing import Self

from service.loadgen.clients.hpack import encode
from tests.support.server.output_lines import DEADLINE

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
ACK = END_STREAM = 1
END_HEADERS = 4
CANCEL = 8
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4
DEFAULT_WINDOW, MAX_WINDOW = 65_535, 2**31 - 1
MAX_FRAME = 16_384
INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM_INFER = "/inference.GRPCInferenceService/ModelStreamInfer"
WATCH = "/grpc.health.v1.Health/Watch"
OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, RESOURCE_EXHAUSTED, UNAVAILABLE = (
    "0", "3", "4", "5", "8", "14",
)  # fmt: skip
_STATUS = re.compile(rb"grpc-status.(\d+)")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def prefixed(message: bytes, *, compressed: bool = False) -> bytes:
    """A message with the prefix of its length."""
    return struct.pack(">BI", compressed, len(message)) + message


def headers(method: str, *more: tuple[bytes, bytes]) -> bytes:
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", method.encode()),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *more,
    ]
    return encode(fields)


class RawHttp2:
    """A connection whose frames a thread reads; it grants the server a window of any size.

    Attributes:
        settings: the server's settings.
        statuses: the status of each stream that has ended: gRPC's, or `reset`.
        kinds: the number of received frames of each kind.
        closed: the server has closed the connection.
    """

    def __init__(self, address: str, *, window: int = MAX_WINDOW) -> None:
        """`window` is the bytes of each response that the server may send."""
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=DEADLINE)
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._window, self._stream_windows = DEFAULT_WINDOW, Counter[int]()
        self.settings: dict[int, int] = {}
        self.statuses: dict[int, str] = {}
        self.kinds: Counter[int] = Counter()
        self.closed = False
        settings = struct.pack(">HIHI", 1, 0, INITIAL_WINDOW_SIZE, window)
        more = struct.pack(">I", MAX_WINDOW - DEFAULT_WINDOW)
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, more))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The reader's pending read would keep a socket open that is only closed.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(DEADLINE)
        self._socket.close()

    def send(self, frames: bytes) -> bool:
        """Send frames as they are; False if the server has closed the connection."""
        try:
            with self._sending:
                self._socket.sendall(frames)
        except OSError:
            return False
        return True

    def begin(self, stream: int, method: str = INFER, *more: tuple[bytes, bytes]) -> None:
        """Send the headers of a call."""
        self.send(frame(HEADERS, END_HEADERS, stream, headers(method, *more)))

    def call(self, stream: int, message: bytes, method: str = INFER) -> str | None:
        """The status of a call; None if the connection is closed before."""
        self.begin(stream, method)
        self.send_data(stream, prefixed(message), end=True)
        return self.status(stream)

    def send_data(self, stream: int, data: bytes, *, end: bool = False) -> int:
        """Send data as the server's windows allow, until the stream ends; returns the bytes sent."""
        sent = 0
        while sent < len(data):
            with self._changed:
                self._changed.wait_for(lambda: self._room(stream) or self._ended(stream), DEADLINE)
                if self._ended(stream):
                    return sent
                part = data[sent : sent + self._room(stream)]
                self._window -= len(part)
                self._stream_windows[stream] -= len(part)
            sent += len(part)
            if not self.send(frame(DATA, END_STREAM if end and sent == len(data) else 0, stream, part)):
                return sent
        return sent

    def status(self, stream: int) -> str | None:
        """Waits until a stream has ended; returns its status, None if the connection is closed."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended(stream), DEADLINE), f"stream {stream} is open"
            return self.statuses.get(stream)

    def wait_until_closed(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.closed, DEADLINE), "the connection is open"

    def wait_for_settings(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.settings, DEADLINE), "the server sent no settings"

    def _ended(self, stream: int) -> bool:
        return self.closed or stream in self.statuses

    def _room(self, stream: int) -> int:
        window = self.settings.get(INITIAL_WINDOW_SIZE, DEFAULT_WINDOW) + self._stream_windows[stream]
        return max(0, min(self._window, window, MAX_FRAME))

    def _read(self) -> None:
        buffer = b""
        try:
            while received := self._socket.recv(1 << 20):
                buffer += received
                at = 0
                while len(buffer) - at >= 9 and len(buffer) - at >= 9 + (size := _size(buffer, at)):
                    stream = int.from_bytes(buffer[at + 5 : at + 9], "big")
                    self._on_frame(buffer[at + 3], buffer[at + 4], stream, buffer[at + 9 : at + 9 + size])
                    at += 9 + size
                buffer = buffer[at:]
        except OSError:
            pass
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        with self._changed:
            self.kinds[kind] += 1
            if kind == SETTINGS and not flags & ACK:
                self.settings |= dict(struct.iter_unpack(">HI", payload))
                self.send(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.send(frame(PING, ACK, 0, payload))
            elif kind == WINDOW_UPDATE and stream:
                self._stream_windows[stream] += int.from_bytes(payload, "big")
            elif kind == WINDOW_UPDATE:
                self._window += int.from_bytes(payload, "big")
            elif kind == RST_STREAM:
                self.statuses.setdefault(stream, "reset")
            elif kind == HEADERS and flags & END_STREAM:
                found = _STATUS.search(payload)
                self.statuses[stream] = "none" if found is None else found[1].decode()
            self._changed.notify_all()


def _size(buffer: bytes, at: int) -> int:
    return int.from_bytes(buffer[at : at + 3], "big")
