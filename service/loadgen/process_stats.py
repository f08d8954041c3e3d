"""CPU time and memory of a server's processes, from Linux's /proc."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
LISTENING = "0A"


def process_tree(pids: Iterable[int]) -> frozenset[int]:
    """These processes and all their descendants."""
    children: dict[int, list[int]] = {}
    for pid in _all():
        if (parent := _parent(pid)) is not None:
            children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    left = list(pids)
    while left:
        pid = left.pop()
        if pid not in found:
            found.add(pid)
            left.extend(children.get(pid, ()))
    return frozenset(found)


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time so far, with a resolution of 10 ms; processes that have ended count as 0."""
    ticks = 0
    for pid in pids:
        fields = _stat(pid)
        if fields:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def pss(pids: Iterable[int]) -> int:
    """Proportional set size in bytes: a page that several processes share is divided among them."""
    total = 0
    for pid in pids:
        found = re.search(rb"^Pss:\s+(\d+) kB$", _read(pid, "smaps_rollup"), re.MULTILINE)
        total += int(found[1]) * 1024 if found else 0
    return total


def listeners(port: int) -> frozenset[int]:
    """The processes that listen on a local port; those of other users are not visible."""
    inodes = set(_listening_inodes(port))
    return frozenset(pid for pid in _all() if inodes.intersection(_descriptors(pid)))


def _all() -> Iterator[int]:
    if PROC.is_dir():
        yield from (int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal())


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def _stat(pid: int) -> list[bytes]:
    """The fields after the process's name, which may contain spaces; empty if it has ended."""
    return _read(pid, "stat").rpartition(b")")[2].split()


def _read(pid: int, name: str) -> bytes:
    try:
        return (PROC / str(pid) / name).read_bytes()
    except OSError:  # it has ended, or belongs to another user
        return b""


def _listening_inodes(port: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / "net" / name).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[1].endswith(f":{port:04X}") and fields[3] == LISTENING:
                    yield f"socket:[{fields[9]}]"


def _descriptors(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for entry in (PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                yield os.readlink(entry)
