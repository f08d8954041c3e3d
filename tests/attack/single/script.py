"""One hostile connection as data: the bytes that it sends, and how it reads."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, repeat

PIECE = 1 << 16
MOST = 40 << 20
RECEIVE_BUFFER = 4096
SLOWLY = 16  # bytes that a slow reader takes at a time
PAUSE = 0.05


class Reading(StrEnum):
    """The answers of the server: all are read, a few bytes now and then, or none."""

    ALL = "all"
    SLOWLY = "slowly"
    NOTHING = "nothing"


class Port(StrEnum):
    HTTP = "HTTP"
    GRPC = "gRPC"


@dataclass(frozen=True, slots=True)
class Repeated:
    """Bytes that are sent many times."""

    data: bytes
    times: int = 1

    def __len__(self) -> int:
        return len(self.data) * self.times

    def pieces(self) -> Iterator[bytes]:
        """The bytes in pieces of about 64 KiB, or of the data if that is longer."""
        several = max(1, PIECE // max(1, len(self.data)))
        whole, rest = divmod(self.times, several)
        return filter(None, chain(repeat(self.data * several, whole), [self.data * rest]))


@dataclass(frozen=True, slots=True)
class Script:
    """A connection until it has sent everything, is cut off, or its time is over.

    Attributes:
        name: a description for people, such as `long chunk extension; gzip`.
    """

    name: str
    port: Port
    parts: tuple[Repeated, ...]
    reading: Reading
    ends_sending: bool

    def play(self, address: tuple[str, int], seconds: float) -> str:
        """Returns the start of the response, or the reason for which the connection ended."""
        end = time.monotonic() + seconds
        with socket.socket() as connection:
            if self.reading is not Reading.ALL:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            try:
                connection.settimeout(seconds)
                connection.connect(address)
                return self._exchange(connection, end)
            except OSError as error:
                return type(error).__name__

    def _exchange(self, connection: socket.socket, end: float) -> str:
        received = b""
        pieces = chain.from_iterable(part.pieces() for part in self.parts)
        rest = next(pieces, b"")
        readers = [] if self.reading is Reading.NOTHING else [connection]
        while (left := end - time.monotonic()) > 0:
            readable, writable, _ = select.select(readers, [connection] if rest else [], [], left)
            if readable:
                data = connection.recv(SLOWLY if self.reading is Reading.SLOWLY else PIECE)
                if not data:
                    break
                received = received or data
                if self.reading is Reading.SLOWLY:
                    time.sleep(PAUSE)
            if writable:
                rest = rest[connection.send(rest[:PIECE]) :] or next(pieces, b"")
                if not rest and self.ends_sending:
                    connection.shutdown(socket.SHUT_WR)
        if not received:
            return "no response"
        line = received.partition(b"\r\n")[0].decode("latin-1")
        return line if line.startswith("HTTP") else "some frames"
