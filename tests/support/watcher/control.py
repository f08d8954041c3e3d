"""Runs the trivial server whose waits show the load of the machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def control_process() -> Iterator[tuple[str, int]]:
    """Yields the address on which it listens while the block runs."""
    command = [sys.executable, "-m", "tests.support.watcher.control_process"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as control:
        assert control.stdin is not None
        assert control.stdout is not None
        yield "127.0.0.1", int(control.stdout.readline())
        control.stdin.close()
