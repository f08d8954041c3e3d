"""The figures of a watched server that stalls and allocates on request."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.http.client import get
from tests.support.server.eventually import eventually
from tests.support.server.procfs import needs_procfs
from tests.support.server.watched import MEBIBYTE, assert_harmless, watched
from tests.support.watcher.polling import Poll, excess
from tests.support.watcher.process_tree import seconds_in_queue

# One thread answers all, as an event loop does; its memory is written, so that it is resident.
SERVER = """
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    kept = []

    def do_GET(self):
        if self.path == "/stall":
            time.sleep(0.5)
        if self.path == "/grow":
            self.kept.append(b"x" * (64 << 20))
        self.send_response(503 if self.kept and self.path == "/livez" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass

with HTTPServer(("127.0.0.1", 0), Handler) as server:
    print(server.server_port, flush=True)
    server.serve_forever()
"""

pytestmark = [needs_procfs, pytest.mark.measures]


@dataclass(frozen=True, slots=True)
class Stalling:
    pid: int
    address: tuple[str, int]

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"


@pytest.fixture
def server() -> Iterator[Stalling]:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Stalling(process.pid, ("127.0.0.1", int(process.stdout.readline())))
        process.kill()


def test_stall_is_the_longest_wait(server: Stalling) -> None:
    with watched(server) as watch:
        get(f"{server.url}/stall")
    assert watch.report.longest_raw_wait > 0.3
    assert watch.longest_wait > 0.2
    assert watch.failures == []


def test_memory_above_the_start_is_the_growth(server: Stalling) -> None:
    with watched(server) as watch:
        get(f"{server.url}/grow")
    assert 60 * MEBIBYTE < watch.growth < 80 * MEBIBYTE
    assert watch.failures[0].startswith("HTTP/1.0 503")


def test_attack_that_stalls_each_time_is_not_harmless(server: Stalling) -> None:
    with pytest.raises(AssertionError, match="another client waited"):
        assert_harmless(server, lambda: get(f"{server.url}/stall"), tries=2)


def test_memory_of_an_earlier_try_counts(server: Stalling) -> None:
    with pytest.raises(AssertionError, match="memory grew by 12"):
        assert_harmless(server, lambda: get(f"{server.url}/grow"), growth=100 * MEBIBYTE, tries=2)


def test_wait_counts_as_far_as_it_exceeds_that_of_the_control_meanwhile() -> None:
    polls = [Poll(1.0, 0.9, 0.0, ""), Poll(5.0, 0.3, 0.0, "")]
    control = [Poll(1.5, 0.8, 0.0, ""), Poll(3.0, 2.0, 0.0, ""), Poll(5.1, 0.01, 0.0, "")]
    assert excess(polls[:1], control) == pytest.approx(0.1)
    assert excess(polls, control[2:]) == pytest.approx(0.9)
    assert excess(polls, [control[0], control[2]]) == pytest.approx(0.29)


def test_time_in_the_queue_for_a_processor_does_not_count() -> None:
    assert excess([Poll(1.0, 0.9, 0.7, "")], [Poll(1.0, 0.1, 0.0, "")]) == pytest.approx(0.2)


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="reads Linux's /proc")
def test_process_that_shares_a_processor_waits_for_it() -> None:
    core = min(os.sched_getaffinity(0))
    spin = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    with ExitStack() as stack:
        command = [sys.executable, "-c", spin]
        spinners = [stack.enter_context(subprocess.Popen(command)) for _ in range(2)]
        assert eventually(lambda: all(seconds_in_queue(spinner.pid) > 0.1 for spinner in spinners))
        for spinner in spinners:
            spinner.kill()
