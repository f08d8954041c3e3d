"""SIGHUP reloads certificates and keys, drains if the terminal is gone, and does nothing under nohup."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.http.client import get, send_request
from tests.support.models.gray_classifier import image, level
from tests.support.server.eventually import eventually
from tests.support.server.half_sent import half_sent, is_port_closed
from tests.support.server.procfs import is_importing, needs_procfs
from tests.support.server.server_process import PYTHON_M_SERVICE, ServerProcess

BODY = image(level(7))
INFO = ("--log-level", "info")
KEYS = ("first-secret-of-16-characters", "second-secret-of-16-characters")
# A process that leads a session gets the terminal that it opens first.
ON_TERMINAL = "import os, sys; os.open(sys.argv[1], os.O_RDWR); os.execvp(sys.argv[2], sys.argv[2:])"

each_number = pytest.mark.parametrize("workers", ["1", "2"])


@contextmanager
def terminal() -> Iterator[tuple[int, str]]:
    """The descriptor whose close hangs the terminal up, and the path of the terminal."""
    controller, end = os.openpty()
    try:
        yield controller, os.ttyname(end)
    finally:
        os.close(end)


@each_number
def test_hangup_reloads_keys(shades: Path, tmp_path: Path, workers: str) -> None:
    file = tmp_path / "keys"
    file.write_text(f"client infer {KEYS[0]}\n")
    own = {"CONVSERVE_API_KEYS_FILE": str(file)}

    def status(key: str) -> int:
        headers = {"X-API-Key": key, "Content-Type": "image/png"}
        return send_request("POST", f"{server.url}/classify", BODY, headers).status

    with ServerProcess(shades, *INFO, "--workers", workers, own=own) as server:
        assert [status(key) for key in KEYS] == [200, 401]
        file.write_text(f"client infer {KEYS[1]}\n")
        server.send(signal.SIGHUP)
        server.stderr.wait_for("INFO .*: received SIGHUP: reloading files")
        eventually(lambda: [status(key) for key in KEYS] == [401, 200])
        assert server.stop() == -signal.SIGTERM


@each_number
def test_hangup_of_the_terminal_drains(shades: Path, workers: str) -> None:
    with terminal() as (controller, path):
        command = (sys.executable, "-c", ON_TERMINAL, path, *PYTHON_M_SERVICE)
        with ServerProcess(shades, "--workers", workers, command=command) as server:
            server.send(signal.SIGHUP)  # the terminal is there: this one reloads
            assert get(f"{server.url}/readyz").status == 200
            with half_sent(server, BODY) as request:
                os.close(controller)
                eventually(lambda: is_port_closed(server))
                request.send(BODY[len(BODY) // 2 :])
                assert request.getresponse().status == 200
            assert server.wait() == -signal.SIGHUP


@needs_procfs
@each_number
def test_hangup_during_the_start_does_not_end_the_server(shades: Path, workers: str) -> None:
    with ServerProcess(shades, "--workers", workers, until_announced=False) as server:
        eventually(lambda: is_importing(server.pid))
        server.send(signal.SIGHUP)
        server.stdout.wait_for(r"^  docs: .*\n")
        assert server.stop() == -signal.SIGTERM
        assert server.stderr.text == ""


@needs_procfs
@each_number
def test_loss_of_the_terminal_during_the_start_ends_the_server(shades: Path, workers: str) -> None:
    with terminal() as (controller, path):
        command = (sys.executable, "-c", ON_TERMINAL, path, *PYTHON_M_SERVICE)
        with ServerProcess(shades, "--workers", workers, command=command, until_announced=False) as server:
            eventually(lambda: is_importing(server.pid))
            os.close(controller)
            assert server.wait() == -signal.SIGHUP


@each_number
def test_hangup_is_ignored_under_nohup(shades: Path, workers: str) -> None:
    command = ("nohup", *PYTHON_M_SERVICE)
    with ServerProcess(shades, *INFO, "--workers", workers, command=command) as server:
        server.send(signal.SIGHUP, to_group=True)
        assert get(f"{server.url}/readyz").status == 200
        assert server.stop() == -signal.SIGTERM
        assert "SIGHUP" not in server.stderr.text


def test_stages_of_a_shutdown_are_logged(shades: Path) -> None:
    with ServerProcess(shades, *INFO, "--shutdown-timeout-s", "1") as server:
        with half_sent(server, BODY):
            assert server.stop() == -signal.SIGTERM
        stages = [
            "received SIGTERM: not ready; the ports close in 0 s",
            "draining: 1 requests in progress, 1 s left",
            "drained: 0 requests finished, 1 cancelled",
        ]
        text = server.stderr.text
        assert sorted(stages, key=text.index) == stages


def test_stages_of_a_shutdown_of_workers_are_logged(shades: Path) -> None:
    with ServerProcess(shades, *INFO, "--workers", "2") as server:
        assert server.stop() == -signal.SIGTERM
        text = server.stderr.text
        assert "received SIGTERM: stopping 2 workers" in text
        assert text.count("drained: 0 requests finished, 0 cancelled") == 2
        assert text.rstrip().endswith("all workers have ended")
