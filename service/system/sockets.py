"""Binds listening sockets."""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

from ..errors import ConfigurationError


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A TCP socket bound to the address and not yet listening.

    Args:
        shared: let other sockets bind the same port (SO_REUSEPORT); the kernel then distributes connections
            over them. With one listening socket shared by several processes, the one that wakes first would
            accept them all.

    Raises:
        ConfigurationError: the address is invalid or in use.
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
    """Reserve a port, 0 for a free one, for servers that bind it themselves with SO_REUSEPORT.

    Raises:
        ConfigurationError: the address is invalid, or another server listens on it.
    """
    # First without SO_REUSEPORT, which fails if another server already listens on the port.
    with bind(host, port) as guard:
        port = guard.getsockname()[1]
    with bind(host, port, shared=True) as reservation:
        yield reservation


def is_loopback(host: str) -> bool:
    """True if only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def address(listener: socket.socket) -> str:
    """The bound address as numeric `host:port`."""
    return _join(*listener.getsockname()[:2])


def client_address(listener: socket.socket) -> str:
    """The `host:port` for clients on this machine: loopback in place of a wildcard address."""
    host, port = listener.getsockname()[:2]
    return _join({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def unread_bytes(fileno: int) -> int:
    """The number of received bytes that the process has not read; 0 for a closed socket."""
    if fileno < 0:  # closed by this process
        return 0
    try:
        answer = fcntl.ioctl(fileno, termios.FIONREAD, bytes(4))
    except OSError:
        return 0
    (count,) = struct.unpack("i", answer)
    return int(count)


def is_reset(fileno: int) -> bool:
    """True if the other end has reset the connection; False for a socket that this process has closed."""
    if fileno < 0:
        return False
    poll = select.poll()
    poll.register(fileno, 0)  # errors are always reported
    return bool(poll.poll(0))
