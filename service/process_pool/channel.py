"""Sends Python objects between two processes over a socket."""

from __future__ import annotations

import pickle
import select
import socket
from typing import Any


class Channel:
    """One end of a stream of objects. The processes at both ends trust each other.

    Large blocks of bytes are sent and received without a copy, and without the interpreter lock.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._reader = connection.makefile("rb")
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def send(self, value: object) -> None:
        """
        Raises:
            OSError: the other end is closed.
        """
        _Pickler(_Writer(self._socket), pickle.HIGHEST_PROTOCOL).dump(value)

    def receive(self) -> Any:
        """The next object, when the other end has sent it.

        Raises:
            EOFError: the other end is closed.
        """
        try:
            return pickle.load(self._reader)
        except (pickle.UnpicklingError, ConnectionError) as error:
            raise EOFError("the other end has closed in the middle of an object") from error

    def ready(self, seconds: float) -> bool:
        """Wait at most this long; True if there is something to receive, or the other end is closed."""
        return bool(self._poll.poll(seconds * 1000))

    def close(self) -> None:
        self._reader.close()
        self._socket.close()


class _Writer:
    """The file of a pickler."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def write(self, data: bytes | pickle.PickleBuffer) -> None:
        self._socket.sendall(data)


class _Pickler(pickle.Pickler):
    """A pickler that knows contiguous memoryviews too."""

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, memoryview):
            return memoryview, (pickle.PickleBuffer(value),)
        return NotImplemented
