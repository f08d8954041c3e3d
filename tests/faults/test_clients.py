"""Hundreds of hostile or failing clients, while others send requests."""

from __future__ import annotations

import http.client
import random
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.conftest import FACTOR
from tests.support.http.client import get
from tests.support.http.raw_http import head, read_response
from tests.support.models.gray_classifier import image, level, publish_shades
from tests.support.server.background_load import Load
from tests.support.server.eventually import eventually
from tests.support.server.metrics_page import MetricsPage, scrape_until
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import PROC, memory, needs_procfs
from tests.support.server.server_process import FREE_GRPC_PORT, PYTHON_M_SERVICE, ServerProcess

BODY = image(level(7))
REQUEST = head(f"Content-Length: {len(BODY)}") + BODY
MEBIBYTE = 1024 * 1024
DEPARTING = 1000 * FACTOR
SLOW = 200
IDLE = 300
CLIENTS = 4
# SO_LINGER with a timeout of 0: closing resets the connection and discards unsent data.
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    models = tmp_path_factory.mktemp("models")
    publish_shades(models)
    with ServerProcess(models, "--head-timeout-s", "1", "--body-timeout-s", "1") as server:
        yield server


def assert_unaffected(server: ServerProcess, load: Load) -> None:
    """Asserts that background clients had no failures, and that the server is idle again."""
    assert load.broken == []
    assert set(load.responses) == {200}
    scrape_until(server.url, MetricsPage.is_idle)
    assert "Traceback" not in server.stderr.text


@needs_procfs
@pytest.mark.measures
def test_many_disconnects_do_not_affect_other_clients(server: ServerProcess) -> None:
    """In the head, in the body, or before the response; half of them with a reset."""
    draw = random.Random(7)

    def disconnect(times: int) -> None:
        for number in range(times):
            with socket.create_connection(server.address, timeout=DEADLINE) as client:
                client.sendall(REQUEST[: draw.randrange(len(REQUEST) + 1)])
                if number % 2:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    with Load(server.url, BODY, clients=CLIENTS) as load:
        disconnect(DEPARTING // 2)
        before = memory(server.pid, "VmRSS")
        disconnect(DEPARTING // 2)
    assert_unaffected(server, load)
    assert memory(server.pid, "VmRSS") - before < 4 * MEBIBYTE


def test_hundreds_of_slow_clients_are_rejected(server: ServerProcess) -> None:
    """Half of them are slow in the head, half in the body; none delays another client."""
    with ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(server.address, timeout=DEADLINE))
            for _ in range(SLOW)
        ]
        with Load(server.url, BODY, clients=CLIENTS) as load:
            for number, client in enumerate(slow):
                client.sendall(REQUEST[:10] if number % 2 else REQUEST[:-50])
            for client in slow:
                client.sendall(b"x")
            assert {read_response(client).status for client in slow} == {408}
        assert_unaffected(server, load)


def status_of_another(server: ServerProcess) -> int:
    """The status over a new connection; 0 if it is closed without a response."""
    with socket.create_connection(server.address, timeout=DEADLINE) as client:
        try:
            client.sendall(REQUEST)
            return read_response(client).status
        except (OSError, http.client.HTTPException):
            return 0


@needs_procfs
def test_exhausted_file_descriptors_only_affect_new_connections(tmp_path: Path) -> None:
    """New connections are closed until others end; existing connections keep working."""
    publish_shades(tmp_path)
    with ServerProcess(tmp_path) as server, ExitStack() as stack:
        with Load(server.url, BODY, clients=CLIENTS) as load:
            usual = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
            opened = len(list((PROC / str(server.pid) / "fd").iterdir()))
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (opened + 8, usual[1]))
            crowd = [
                stack.enter_context(socket.create_connection(server.address, timeout=DEADLINE))
                for _ in range(64)
            ]
            completed = load.responses[200]
            assert eventually(lambda: load.responses[200] > completed + 100)
            for client in crowd:
                client.close()
            assert eventually(lambda: status_of_another(server) == 200)
        assert load.broken == []
        assert set(load.responses) == {200}
        scrape_until(server.url, MetricsPage.is_idle)


def limited(files: int) -> list[str]:
    """The command of a server that may open so many files."""
    return ["bash", "-c", f'ulimit -n {files}; exec "$@"', "-", *PYTHON_M_SERVICE]


def test_connections_of_grpc_leave_files_for_http(tmp_path: Path) -> None:
    """They say nothing, and would use up all files."""
    publish_shades(tmp_path)
    with ServerProcess(tmp_path, *FREE_GRPC_PORT, command=limited(200)) as server, ExitStack() as stack:
        host, _, port = server.grpc_address.rpartition(":")
        with Load(server.url, BODY, clients=CLIENTS) as load:
            for _ in range(IDLE):
                stack.enter_context(socket.create_connection((host, int(port)), timeout=DEADLINE))
                assert get(f"{server.url}/readyz").status == 200
        assert_unaffected(server, load)


def test_low_descriptor_limit_lowers_the_connection_limit(tmp_path: Path) -> None:
    """Idle connections beyond it are closed; other clients and probes notice nothing."""
    publish_shades(tmp_path)
    with ServerProcess(tmp_path, command=limited(160)) as server, ExitStack() as stack:
        server.stderr.wait_for(r"max_connections lowered to (\d+), .*: at most 160 files may be open")
        with Load(server.url, BODY, clients=CLIENTS) as load:
            for _ in range(IDLE):
                stack.enter_context(socket.create_connection(server.address, timeout=DEADLINE))
                assert get(f"{server.url}/readyz").status == 200
        assert_unaffected(server, load)
        assert len(server.stderr.text.splitlines()) == 1
