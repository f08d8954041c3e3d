"""`convserve health`, which a container's HEALTHCHECK calls."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.http.client import get
from tests.support.models.gray_classifier import publish_shades
from tests.support.server.certificates import Authority
from tests.support.server.eventually import eventually
from tests.support.server.server_process import ServerProcess, convserve


@pytest.fixture
def server_that_drains(repository: Path) -> ServerProcess:
    return ServerProcess(repository, "--drain-delay-s", "3600", "--host", "127.0.0.1")


def test_health_follows_readiness(server_that_drains: ServerProcess) -> None:
    with server_that_drains as server:
        own = {"CONVSERVE_HOST": "0.0.0.0", "CONVSERVE_PORT": str(server.address[1])}
        ready = convserve("health", own=own)
        assert (ready.returncode, ready.stdout, ready.stderr) == (0, "ready\n", "")
        server.send(signal.SIGTERM)
        eventually(lambda: get(f"{server.url}/readyz").status == 503)
        draining = convserve("health", own=own)
        assert draining.returncode == 1
        assert (
            draining.stderr
            == f"convserve: the server at http://127.0.0.1:{server.address[1]} is not ready: draining\n"
        )


def test_health_uses_tls_and_the_admin_port(repository: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.sign("server")
    own = {
        "CONVSERVE_TLS_CERT": str(pair.certificate),
        "CONVSERVE_TLS_KEY": str(pair.key),
        "CONVSERVE_TLS_CLIENT_CA": str(authority.certificate),
    }
    with ServerProcess(repository, "--admin-port", "-1", own=own) as server:
        admin_port = server.stdout.wait_for(r"^  admin: https://[\d.]+:(\d+)$")[1]
        assert convserve("health", "--admin-port", admin_port, own=own).stdout == "ready\n"
        without = convserve("health", "--port", str(server.address[1]), own=own)
        assert without.returncode == 1


def test_unreachable_server_is_unhealthy(tmp_path: Path) -> None:
    publish_shades(tmp_path)
    with ServerProcess(tmp_path) as server:
        port = str(server.address[1])
    gone = convserve("health", "--port", port)
    assert gone.returncode == 1
    assert gone.stderr.startswith(f"convserve: cannot reach http://127.0.0.1:{port}: ")
