"""Sends messages between the supervisor and a worker, without ever waiting."""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Iterator
from typing import Any

_LENGTH = struct.Struct("=I")
RECEIVE_BYTES = 256 * 1024


class MessageSocket:
    """One end of a stream of messages. The processes at both ends trust each other.

    Attributes:
        has_ended: the other end is closed.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._received = bytearray()
        self._unsent = bytearray()
        self.has_ended = False

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def has_unsent(self) -> bool:
        """True if `flush` has to be called once the socket is writable."""
        return bool(self._unsent)

    def send(self, message: object) -> None:
        """Send a message, or keep what the other end does not take now."""
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._unsent += _LENGTH.pack(len(data)) + data
        self.flush()

    def flush(self) -> None:
        """Send what was kept."""
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:  # the other end is closed
            self._unsent.clear()

    def receive(self) -> Iterator[Any]:
        """The messages that have arrived completely."""
        try:
            while data := self._socket.recv(RECEIVE_BYTES):
                self._received += data
            self.has_ended = True
        except BlockingIOError:
            pass
        except OSError:
            self.has_ended = True
        while len(self._received) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._received)
            if len(self._received) < _LENGTH.size + length:
                return
            message = pickle.loads(memoryview(self._received)[_LENGTH.size : _LENGTH.size + length])
            del self._received[: _LENGTH.size + length]
            yield message

    def close(self) -> None:
        self._socket.close()
