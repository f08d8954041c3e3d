"""The socket a server listens on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import ConfigurationError


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A TCP socket bound to the address and not yet listening.

    Args:
        shared: let other sockets bind the same port (SO_REUSEPORT): the kernel then spreads connections
            over those that listen. One listening socket handed to several processes does not: whichever
            wakes first takes them all.

    Raises:
        ConfigurationError: the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host} port {port}: {error.strerror}") from error
    return listener


@contextmanager
def reserved(host: str, port: int) -> Iterator[socket.socket]:
    """Hold a port, 0 for a free one, for servers that bind it themselves with SO_REUSEPORT.

    Raises:
        ConfigurationError: the address cannot be had, or another server listens there.
    """
    # First without sharing the port: that fails where another server already listens on it.
    with bind(host, port) as guard:
        port = guard.getsockname()[1]
    with bind(host, port, shared=True) as keeper:
        yield keeper


def address(listener: socket.socket) -> str:
    """Where it is bound, in numbers, as `host:port`."""
    return _joined(*listener.getsockname()[:2])


def address_to_ask(listener: socket.socket) -> str:
    """The same, but for a wildcard, which is asked by way of loopback."""
    host, port = listener.getsockname()[:2]
    return _joined({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
