"""Connections of the process, found by their peer's address."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.system.tcp_connections import Address, TcpConnections, peer_address
from tests.support.server.procfs import needs_procfs

SENT = 10_000


@contextmanager
def connected() -> Iterator[tuple[TcpConnections, socket.socket, socket.socket]]:
    """The connections of a port, a client, and the server's side of its connection."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        accepted, _ = listener.accept()
        with accepted:
            yield TcpConnections(listener.getsockname()[1]), client, accepted


@needs_procfs
def test_received_bytes_are_counted() -> None:
    with connected() as (connections, client, accepted):
        client.sendall(bytes(SENT))
        assert len(accepted.recv(SENT, socket.MSG_WAITALL)) == SENT
        state = connections.state(client.getsockname())
        assert state is not None
        assert state.received == SENT
        assert 0 <= state.idle < 60
        assert list(connections.states()) == [client.getsockname()]


@needs_procfs
def test_closed_connection_ends_for_both_sides() -> None:
    with connected() as (connections, client, accepted):
        assert connections.close(client.getsockname())
        assert client.recv(1) == b""
        assert accepted.recv(1) == b""


@needs_procfs
def test_no_descriptor_is_left_open() -> None:
    with connected() as (connections, client, _), open(os.devnull):
        connections.states()
        before = connections.open_files()
        for _ in range(5):
            connections.states()
            connections.state(client.getsockname())
            connections.state(("127.0.0.1", 1))
        assert connections.open_files() == before


@needs_procfs
def test_descriptor_that_is_used_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are known are not looked at again, and one with a known number but another file is."""
    with connected() as (connections, client, accepted), socket.create_server(("127.0.0.1", 0)) as other:
        assert connections.state(client.getsockname()) is not None
        number = accepted.fileno()
        looked_at: list[int] = []
        peer = connections._peer

        def look_at(descriptor: int) -> Address | None:
            looked_at.append(descriptor)
            return peer(descriptor)

        monkeypatch.setattr(connections, "_peer", look_at)
        connections.states()
        # Listing the files opens one, whose number may be that of another file before.
        assert len(looked_at) <= 1
        with socket.create_connection(("127.0.0.1", connections._port)) as second:
            saved = os.dup(other.fileno())
            assert connections.state(second.getsockname()) is None  # it is not accepted yet
            os.dup2(saved, number)
            os.close(saved)
            assert connections.state(client.getsockname()) is None
            assert number in looked_at


def test_unknown_connections_have_no_state() -> None:
    with connected() as (connections, _, accepted):
        assert connections.state(accepted.getsockname()) is None
        assert not connections.close(("192.0.2.1", 1))


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:80", ("127.0.0.1", 80)),
        ("ipv6:[::1]:80", ("::1", 80)),
        ("ipv6:%5B::1%5D:80", ("::1", 80)),
        ("ipv6:%5B::ffff:10.0.0.1%5D:80", ("10.0.0.1", 80)),
        ("unix:/run/x", None),
        ("", None),
    ],
)
def test_peers_of_the_library_are_parsed(peer: str, address: tuple[str, int] | None) -> None:
    assert peer_address(peer) == address
