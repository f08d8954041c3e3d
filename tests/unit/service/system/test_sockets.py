"""The state of sockets, on loopback."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import closing

import pytest

from service.system.sockets import bind, is_reset

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with closing(bind("127.0.0.1", 0)) as listener:
        listener.listen()
        yield listener


@pytest.mark.parametrize("data", [b"", b"GET "])
def test_connection_that_was_reset_before_it_was_accepted(listener: socket.socket, data: bytes) -> None:
    with socket.create_connection(listener.getsockname()) as client:
        client.sendall(data)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    with listener.accept()[0] as accepted:
        assert is_reset(accepted.fileno())


def test_connection_whose_client_sends_no_more_is_not_reset(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()) as client:
        client.sendall(b"GET ")
        client.shutdown(socket.SHUT_WR)
        with listener.accept()[0] as accepted:
            assert not is_reset(accepted.fileno())


def test_socket_that_is_closed_already() -> None:
    with socket.socket() as closed:
        closed.close()
        assert not is_reset(closed.fileno())
