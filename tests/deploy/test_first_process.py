"""The server as process 1 of a container: handles signals at all times and reaps its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.http.client import post
from tests.support.models.gray_classifier import image, level, publish_shades
from tests.support.server.eventually import eventually
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import is_importing, workers
from tests.support.server.server_process import ServerProcess

# A separate PID namespace, with or without root.
UNSHARE = ("unshare", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc")
ENDED_BY_SIGTERM = 128 + signal.SIGTERM


def can_create_namespaces() -> bool:
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True, timeout=DEADLINE).returncode == 0
    except OSError:
        return False


pytestmark = pytest.mark.skipif(
    not can_create_namespaces(), reason="this user may not create a PID namespace"
)


@pytest.fixture(scope="module")
def shades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("shades")
    publish_shades(models)
    return models


def first_process(models: Path, *arguments: str, until_announced: bool = True) -> ServerProcess:
    command = (*UNSHARE, sys.executable, "-m", "service")
    return ServerProcess(models, *arguments, command=command, until_announced=until_announced)


def inside(server: ServerProcess) -> int:
    """The process id of the server outside of its namespace, in which it is 1."""
    return eventually(lambda: next(iter(children(server.pid)), 0))


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("count", ["1", "2"])
def test_sigterm_ends_the_process(shades: Path, count: str) -> None:
    with first_process(shades, "--workers", count) as server:
        assert post(f"{server.url}/classify", image(level(7))).status == 200
        os.kill(inside(server), signal.SIGTERM)
        assert server.wait() == ENDED_BY_SIGTERM
        assert server.stderr.text == ""


def test_sigterm_ends_the_process_during_startup(shades: Path) -> None:
    with first_process(shades, until_announced=False) as server:
        pid = inside(server)
        eventually(lambda: is_importing(pid))
        os.kill(pid, signal.SIGTERM)
        assert server.wait() == ENDED_BY_SIGTERM
        assert "Traceback" not in server.stderr.text


def test_dead_workers_are_reaped(shades: Path) -> None:
    with first_process(shades, "--workers", "2") as server:
        supervisor = inside(server)
        victim = min(workers(supervisor))
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(workers(supervisor) - {victim}) == 2)
        eventually(lambda: len(children(supervisor)) == 2)  # the processes of the victim have ended too
        assert victim not in children(supervisor)
        assert "Z" not in {state(child) for child in children(supervisor)}
