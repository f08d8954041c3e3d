"""Reads the memory of a process and its descendants."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

PROC = Path("/proc")
REFRESH = 0.2  # seconds after which the descendants are looked for again
TICKS = os.sysconf("SC_CLK_TCK")


class ProcessTree:
    """The memory that no file backs, summed over a process and all its descendants."""

    def __init__(self, pid: int) -> None:
        self._root = pid
        self._pids = descendants(pid)
        self._refreshed = time.monotonic()

    def queues(self) -> dict[int, float]:
        """Seconds that the main thread of each process has waited for a processor, if the kernel tells."""
        return {pid: seconds_in_queue(pid) for pid in self._pids}

    def private_bytes(self) -> int:
        if time.monotonic() - self._refreshed > REFRESH:
            self._pids = descendants(self._root)
            self._refreshed = time.monotonic()
        return sum(map(private_bytes, self._pids))


def private_bytes(pid: int) -> int:
    """Resident bytes that no file backs, with a part of those that forks share; 0 after its end."""
    return _kibibytes(pid, "smaps_rollup", "Pss_Anon") * 1024


def resident_bytes(pid: int) -> int:
    """Resident bytes that no file backs, with all that forks share; 0 after its end.

    Unlike `private_bytes`, this does not lock the process's memory map, which delays its threads.
    """
    return _kibibytes(pid, "status", "RssAnon") * 1024


def _kibibytes(pid: int, file: str, field: str) -> int:
    """A field of a process's file; 0 if it is absent."""
    try:
        text = (PROC / str(pid) / file).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(rf"^{field}:\s+([0-9]+) kB$", text, re.MULTILINE)
    return int(found[1]) if found else 0


def seconds_in_queue(pid: int) -> float:
    """Time that the main thread of a process was ready to run and did not run."""
    try:
        return int((PROC / str(pid) / "schedstat").read_text().split()[1]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def cpu_seconds(pid: int) -> float:
    """Processor time of a process; 0 once it has ended."""
    try:
        fields = (PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def descendants(root: int) -> list[int]:
    """A process and all processes below it."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            children.setdefault(_parent(entry), []).append(int(entry.name))
    found = [root]
    for pid in found:  # grows as it goes
        found += children.get(pid, [])
    return found


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
