"""The admin port of a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http.client import get, post
from tests.support.models.gray_classifier import image, level
from tests.support.server.server_process import ServerProcess

BODY = image(level(7))


@pytest.fixture(scope="module", params=["1", "2"])
def apart(request: pytest.FixtureRequest, shades: Path) -> Iterator[ServerProcess]:
    with ServerProcess(shades, "--admin-port", "-1", "--workers", request.param) as server:
        yield server


def admin_url(server: ServerProcess) -> str:
    return server.stdout.wait_for(r"^  admin: (http://\S+)$")[1]


def test_each_port_serves_its_own_paths(apart: ServerProcess) -> None:
    inference, operations = apart.url, admin_url(apart)
    assert post(f"{inference}/classify", BODY).status == 200
    assert post(f"{operations}/classify", BODY).status == 404
    assert get(f"{inference}/metrics").status == 404
    assert b"convserve_images_total" in get(f"{operations}/metrics").body
    assert post(f"{inference}/v2/repository/index", b"").status == 404
    assert post(f"{operations}/v2/repository/index", b"").json[0]["name"] == "shades"
    assert get(f"{operations}/docs").json == {"error": "this port does not serve this path"}


def test_both_ports_serve_probes(apart: ServerProcess) -> None:
    for url in (apart.url, admin_url(apart)):
        assert get(f"{url}/livez").status == get(f"{url}/readyz").status == 200
