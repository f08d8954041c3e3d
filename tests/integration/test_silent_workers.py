"""A worker that is stopped is replaced, and a shutdown does not wait for it."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.support.http.client import get, post
from tests.support.models.gray_classifier import image, level
from tests.support.server.eventually import eventually
from tests.support.server.procfs import needs_procfs, workers
from tests.support.server.server_process import ServerProcess

BODY = image(level(7))
TIMEOUT = 2.0
ARGUMENTS = ("--workers", "2", "--worker-timeout-s", str(TIMEOUT))
CONNECTIONS = 32

pytestmark = needs_procfs


def test_stopped_worker_is_replaced(shades: Path) -> None:
    with ServerProcess(shades, *ARGUMENTS) as server:
        stopped, other = workers(server.pid)
        os.kill(stopped, signal.SIGSTOP)
        server.stderr.wait_for(rf"ERROR .* \(process {stopped}\) has not responded for 2 s and is killed")
        eventually(lambda: len(workers(server.pid) - {stopped}) == 2)
        # The new one listens; until then all connections go to the other.
        assert [post(f"{server.url}/classify", BODY).status for _ in range(CONNECTIONS)] == [
            200
        ] * CONNECTIONS
        assert other in workers(server.pid)
        assert server.stop() == -signal.SIGTERM


def test_worker_that_is_stopped_while_it_starts_is_replaced(shades: Path) -> None:
    with ServerProcess(shades, *ARGUMENTS) as server:
        first = workers(server.pid)
        os.kill(min(first), signal.SIGKILL)
        (starting,) = eventually(lambda: workers(server.pid) - first)
        os.kill(starting, signal.SIGSTOP)
        server.stderr.wait_for(rf"\(process {starting}\) has not responded for 2 s and is killed")
        eventually(lambda: len(workers(server.pid) - {min(first), starting}) == 2)


def test_stop_of_the_whole_group_kills_no_worker(shades: Path, server: ServerProcess) -> None:
    """As after the suspension of a machine or in a debugger."""
    with ServerProcess(shades, *ARGUMENTS) as group:
        before = workers(group.pid)
        group.send(signal.SIGSTOP, to_group=True)
        until = time.monotonic() + 2 * TIMEOUT
        while time.monotonic() < until:
            get(f"{server.url}/livez")
        group.send(signal.SIGCONT, to_group=True)
        until = time.monotonic() + 2 * TIMEOUT
        while time.monotonic() < until:
            assert get(f"{group.url}/livez").status == 200
        assert workers(group.pid) == before
        assert group.stderr.text == ""


@pytest.mark.measures
def test_stopped_worker_does_not_delay_the_shutdown(shades: Path) -> None:
    with ServerProcess(shades, "--workers", "2", "--worker-timeout-s", "0") as server:
        os.kill(min(workers(server.pid)), signal.SIGSTOP)
        began = time.monotonic()
        assert server.stop() == -signal.SIGTERM
        assert time.monotonic() - began < 10  # the time limit is 35 s
        assert server.stderr.text == ""


def test_metrics_of_a_killed_server_are_removed_by_the_next(shades: Path, tmp_path: Path) -> None:
    def folders() -> set[str]:
        return {folder.name for folder in tmp_path.iterdir()}

    own = {"TMPDIR": str(tmp_path)}
    with ServerProcess(shades, "--workers", "2", own=own) as first:
        (killed,) = folders()
        assert re.match("convserve-metrics-", killed)
        with ServerProcess(shades, "--workers", "2", own=own) as second:
            assert killed in folders()  # in use
            assert second.stop() == -signal.SIGTERM
        assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    assert folders() == {killed}
    with ServerProcess(shades, "--workers", "2", own=own):
        assert killed not in folders()
        assert len(folders()) == 1
