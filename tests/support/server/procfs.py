"""Reads the state of other processes from /proc."""

from __future__ import annotations

import os
import re
import select
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.support.server.output_lines import DEADLINE

PROC = Path("/proc")
ESTABLISHED = "01"
LISTENING = "0A"

needs_procfs = pytest.mark.skipif(not (PROC / "self/stat").exists(), reason="reads Linux's /proc")


def workers(pid: int) -> set[int]:
    """The running server processes of a supervisor."""
    return {child for child in _children(pid) if _read(child, "cmdline")}


def name_of(pid: int) -> str:
    """The name of a process as `ps` shows it."""
    return _read(pid, "comm").decode().strip()


def memory(pid: int, field: str) -> int:
    """Return a memory field of /proc/<pid>/status in bytes."""
    match = re.search(rf"^{field}:\s*(\d+) kB$", _read(pid, "status").decode(), re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024


def is_importing(pid: int) -> bool:
    """True once a server process loads numpy, which happens early and takes long."""
    return b"_multiarray_umath" in _read(pid, "maps")


def connections(pid: int, port: int) -> int:
    """The number of client connections to this local port that the process holds."""
    accepted = set(_accepted_inodes(port))
    return sum(link in accepted for link in _descriptors(pid))


def listens(pid: int) -> bool:
    """True if the process holds a listening socket."""
    listening = set(_inodes(LISTENING))
    return any(link in listening for link in _descriptors(pid))


def wait_for_end(pid: int) -> None:
    """Returns when a process, not necessarily a child, has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        assert select.select([descriptor], [], [], DEADLINE)[0], f"process {pid} has not ended"
    finally:
        os.close(descriptor)


def _children(pid: int) -> Iterator[int]:
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            after_name = _read(int(entry.name), "stat").rpartition(b")")[2].split()
            if after_name and int(after_name[1]) == pid:
                yield int(entry.name)


def _read(pid: int, name: str) -> bytes:
    try:
        return (PROC / str(pid) / name).read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # the process has ended
        return b""


def _accepted_inodes(port: int) -> Iterator[str]:
    return _inodes(ESTABLISHED, f":{port:04X}")


def _inodes(state: str, address_end: str = "") -> Iterator[str]:
    """The inodes of sockets in this state whose local address ends with this text."""
    # gRPC listens on IPv4 addresses with an IPv6 socket.
    tables = [(PROC / "net" / name).read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    for line in chain(*tables):
        fields = line.split()
        if fields[1].endswith(address_end) and fields[3] == state:
            yield f"socket:[{fields[9]}]"


def _descriptors(pid: int) -> Iterator[str]:
    for entry in (PROC / str(pid) / "fd").iterdir():
        try:
            yield os.readlink(entry)
        except FileNotFoundError:
            continue
