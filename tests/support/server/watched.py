"""The two figures of an attack: how much memory it costs the server, and how long others wait meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from tests.support.server.server_process import ROOT
from tests.support.watcher.watcher_process import Report

MEBIBYTE = 1024 * 1024
MAX_GROWTH = 250 * MEBIBYTE
MAX_GROWTH_OF_A_LARGE_IMAGE = 300 * MEBIBYTE
MAX_WAIT = 0.25
TRIES = 3


class Watchable(Protocol):
    """A running server, such as a ServerProcess."""

    @property
    def pid(self) -> int: ...

    @property
    def address(self) -> tuple[str, int]: ...

    @property
    def url(self) -> str: ...


class Watch:
    """The figures of a watched block; they can be read when it has ended."""

    report: Report

    @property
    def growth(self) -> int:
        """The most bytes of the process tree's memory above those at the start."""
        return self.report.peak - self.report.start

    @property
    def longest_wait(self) -> float:
        """Seconds of the slowest GET /livez, beyond those that the machine's load explains."""
        return self.report.longest_wait

    @property
    def failures(self) -> list[str]:
        """The first of the probes that got no 200."""
        return self.report.failures


@contextmanager
def watched(server: Watchable) -> Iterator[Watch]:
    """Polls /livez about every 10 ms and samples the memory every 20 ms while the block runs.

    One client opens a connection each time, another keeps its connection open. A trivial server is polled in
    the same way. A wait counts only as far as it exceeds the longest wait of that server meanwhile, and the
    time in which the watched server was ready to run and other processes had the processors.
    """
    host, port = server.address
    tls = "tls" if server.url.startswith("https") else "plain"
    module = "tests.support.watcher.watcher_process"
    command = [sys.executable, "-m", module, str(server.pid), host, str(port), tls]
    watch = Watch()
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as watcher:
        assert watcher.stdin is not None
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "begun\n"
        try:
            yield watch
        finally:
            watcher.stdin.close()
            output = watcher.stdout.read()
    watch.report = Report(**json.loads(output))


def assert_harmless(
    server: Watchable,
    attack: Callable[[], object],
    *,
    growth: int = MAX_GROWTH,
    wait: float = MAX_WAIT,
    tries: int = TRIES,
) -> Watch:
    """Asserts that an attack stays within both figures, and returns those of the last try.

    On a noisy machine another try may show a shorter wait. Memory has no noise, and what an earlier try left
    behind counts: the growth of each try is above the start of the first.
    """
    start = None
    for _ in range(tries):
        with watched(server) as watch:
            attack()
        start = watch.report.start if start is None else start
        grown = watch.report.peak - start
        assert grown <= growth, f"memory grew by {grown / MEBIBYTE:.0f} MiB: {watch.report}"
        if watch.longest_wait <= wait and not watch.failures:
            return watch
    raise AssertionError(f"another client waited {watch.longest_wait:.2f} s: {watch.report}")
