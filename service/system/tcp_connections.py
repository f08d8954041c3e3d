"""Measures and closes TCP connections of this process that a library has accepted.

gRPC's library reads its connections itself, and tells neither how many bytes have arrived nor offers to close
one. A connection is found by the address of its peer among the process's open files.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

_DESCRIPTORS = Path("/proc/self/fd")
# Offsets in Linux's `struct tcp_info`, whose fields never move: milliseconds since the last data arrived, and
# bytes received.
_LAST_RECEIVED, _BYTES_RECEIVED = 52, 128
_TCP_INFO_BYTES = 136
_DISCARDED_BYTES = 256 * 1024
# Closing resets the connection, also one whose peer waits for room to send.
_NO_LINGER = struct.pack("ii", 1, 0)
_IPV4_MAPPED = "::ffff:"

# Host and port.
Address = tuple[str, int]


class TcpState(NamedTuple):
    """A connection's bytes received so far, and seconds since the last ones."""

    received: int
    idle: float


class TcpConnections:
    """The accepted connections on one local port; without Linux's /proc there are none to be found."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._descriptors: dict[Address, int] = {}
        # The inode of each open file, and its peer's address if it is a connection on the port.
        self._known: dict[int, tuple[int, Address | None]] = {}

    def state(self, peer: Address) -> TcpState | None:
        """The state of a connection; None if it is closed or unknown."""
        connection = self._open(peer)
        if connection is None:
            return None
        with connection, suppress(OSError):
            return _state(connection)
        return None

    def close(self, peer: Address, *, discard: bool = False) -> bool:
        """Shut a connection down, which the library treats as closed by its peer; False if it is unknown.

        With `discard`, what the library has not read or sent yet is lost.
        """
        connection = self._open(peer)
        if connection is None:
            return False
        with connection, suppress(OSError):  # the peer may have closed it
            if discard:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            connection.shutdown(socket.SHUT_RDWR)
            while discard and connection.recv(_DISCARDED_BYTES, socket.MSG_DONTWAIT | socket.MSG_TRUNC):
                pass
        return True

    def open_files(self) -> int:
        """The number of the process's open files, of which its connections are a part."""
        try:
            return len(os.listdir(_DESCRIPTORS))
        except OSError:
            return 0

    def states(self) -> dict[Address, TcpState]:
        """The state of each connection."""
        self._find_all()
        return {peer: state for peer in list(self._descriptors) if (state := self.state(peer)) is not None}

    def _open(self, peer: Address) -> socket.socket | None:
        for attempt in range(2):
            known = self._descriptors.get(peer)
            connection = None if known is None else self._duplicate(known, peer)
            if connection is not None or attempt:
                return connection
            self._find_all()
        return None

    def _find_all(self) -> None:
        """Look at files that were opened since the last time; a thousand others take 2 ms."""
        files: dict[int, tuple[int, Address | None]] = {}
        before = self._known
        with suppress(OSError):
            for descriptor in map(int, os.listdir(_DESCRIPTORS)):
                with suppress(OSError):  # it has been closed meanwhile
                    inode = os.fstat(descriptor).st_ino
                    known = before.get(descriptor)
                    if known is None or known[0] != inode:
                        known = inode, self._peer(descriptor)
                    files[descriptor] = known
        self._known = files
        self._descriptors = {peer: each for each, (_, peer) in files.items() if peer is not None}

    def _peer(self, descriptor: int) -> Address | None:
        connection = self._duplicate(descriptor)
        if connection is None:
            return None
        with connection:
            return _address(connection.getpeername())

    def _duplicate(self, descriptor: int, peer: Address | None = None) -> socket.socket | None:
        """The connection, as a descriptor that no other thread can close or replace meanwhile."""
        try:
            duplicate = os.dup(descriptor)
        except OSError:
            return None
        try:
            connection = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, duplicate)
        except OSError:  # not a socket
            os.close(duplicate)
            return None
        try:
            if connection.getsockname()[1] == self._port:
                found = _address(connection.getpeername())
                if peer is None or found == peer:
                    return connection
        except (OSError, IndexError, TypeError, ValueError):
            pass  # a file, a socket of another kind, or one that listens
        connection.close()
        return None


def peer_address(peer: str) -> Address | None:
    """The address in gRPC's form, `ipv4:<host>:<port>` or `ipv6:[<host>]:<port>`; None in any other form."""
    family, _, address = unquote(peer).partition(":")
    host, _, port = address.rpartition(":")
    if family not in ("ipv4", "ipv6") or not port.isdecimal():
        return None
    return _address((host.strip("[]"), int(port)))


def _address(name: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    return name[0].removeprefix(_IPV4_MAPPED), name[1]


def _state(connection: socket.socket) -> TcpState | None:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    if len(info) < _TCP_INFO_BYTES:
        return None
    (received,) = struct.unpack_from("=Q", info, _BYTES_RECEIVED)
    (idle,) = struct.unpack_from("=I", info, _LAST_RECEIVED)
    return TcpState(received, idle / 1000)
