"""The processes that read large images and texts of requests."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.process_pool.job_process import NAME as JOB
from service.process_pool.template import NAME as TEMPLATE
from service.process_pool.template import Template
from tests.support.http.client import post
from tests.support.images.large_images import png
from tests.support.models.gray_classifier import image, level
from tests.support.server.eventually import eventually
from tests.support.server.procfs import name_of, needs_procfs, wait_for_end
from tests.support.server.server_process import ServerProcess
from tests.support.watcher.process_tree import descendants

pytestmark = [needs_procfs, pytest.mark.skipif(not Template.supported(), reason="forks")]

SMALL = image(level(7))


@pytest.fixture(scope="module")
def large() -> bytes:
    return png("L", 3400)


@pytest.fixture
def server(shades: Path) -> Iterator[ServerProcess]:
    with ServerProcess(shades) as server:
        yield server


def processes(server: ServerProcess, name: str) -> list[int]:
    return [pid for pid in descendants(server.pid) if name_of(pid) == name]


def test_large_image_is_decoded_in_a_process(server: ServerProcess, large: bytes) -> None:
    assert post(f"{server.url}/classify", SMALL).status == 200
    assert not processes(server, JOB)
    assert post(f"{server.url}/classify", large).status == 200
    assert len(processes(server, JOB)) == 1


def test_killed_process_fails_one_request(server: ServerProcess, large: bytes) -> None:
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(post(f"{server.url}/classify", large).status))
    thread.start()
    (pid,) = eventually(lambda: processes(server, JOB))
    os.kill(pid, signal.SIGKILL)
    thread.join()
    assert statuses in ([500], [200])  # it may have been done
    assert post(f"{server.url}/classify", large).status == 200


def test_threads_decode_if_the_template_is_killed(server: ServerProcess, large: bytes) -> None:
    (template,) = processes(server, TEMPLATE)
    os.kill(template, signal.SIGKILL)
    assert post(f"{server.url}/classify", large).status == 200
    assert "no process can be forked" in server.stderr.text


def test_processes_end_with_a_killed_server(shades: Path, large: bytes) -> None:
    with ServerProcess(shades) as server:
        assert post(f"{server.url}/classify", large).status == 200
        pids = processes(server, JOB) + processes(server, TEMPLATE)
        assert len(pids) == 2
        server.stop(signal.SIGKILL)
        for pid in pids:
            wait_for_end(pid)
