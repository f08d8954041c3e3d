"""The socket a server listens on."""

from __future__ import annotations

import socket

from .errors import ConfigurationError


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


def url(listener: socket.socket) -> str:
    """The address to ask, as a URL; a wildcard address is asked by way of loopback."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
