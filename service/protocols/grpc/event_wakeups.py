"""Lets gRPC's library hand over its events to the event loop without waiting for it.

For each event a thread of the library writes a byte to a socket. The event loop handles all events as soon as
the socket is readable, but then the library reads only one of the bytes. After some 280 events the socket is
full: the thread waits until the event loop has read another byte, so that from then on each event takes an
iteration. While iterations are long, as under an attack, calls wait for seconds.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ALL_BYTES = 64 * 1024


class _Emptied(socket.socket):
    """A socket from which each call reads everything."""

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        return super().recv(max(size, ALL_BYTES), flags)


@contextmanager
def emptied_wakeups() -> Iterator[None]:
    """While the block runs, create pairs of sockets whose first is emptied when it is read.

    The library creates its pair with the first server or channel of the process.
    """
    original = socket.socketpair

    def socketpair(*arguments: Any, **options: Any) -> tuple[socket.socket, socket.socket]:
        read, written = original(*arguments, **options)
        return _Emptied(read.family, read.type, read.proto, read.detach()), written

    socket.socketpair = socketpair
    try:
        yield
    finally:
        socket.socketpair = original
