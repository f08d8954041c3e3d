"""Thousands of connections against a server with the default limits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_tls import page, trusting
from tests.support.http.client import get
from tests.support.http.raw_http import head, read_response
from tests.support.models.gray_classifier import image, level
from tests.support.server.background_load import Load
from tests.support.server.certificates import Authority
from tests.support.server.eventually import eventually
from tests.support.server.many_sockets import many_sockets
from tests.support.server.metrics_page import MetricsPage
from tests.support.server.procfs import memory, needs_procfs
from tests.support.server.server_process import ServerProcess
from tests.support.server.watched import assert_harmless

BODY = image(level(7))
REQUEST = head(f"Content-Length: {len(BODY)}") + BODY
MAX_CONNECTIONS = 2048
IDLE = 2100
UNFINISHED = 3150
MAX_REMAINDER = 30 << 20  # of memory, in bytes
BUSY = 2400
# The header of a TLS record, and the start of a ClientHello.
BEGINNING = b"\x16\x03\x01\x02\x00\x01\x00"


@pytest.fixture
def server(shades: Path) -> Iterator[ServerProcess]:
    with ServerProcess(shades) as server:
        yield server
        assert server.stderr.text == ""


@pytest.mark.measures
@pytest.mark.parametrize("first_bytes", [b"", b"POST /classify"], ids=["nothing", "head"])
def test_idle_connections_lock_nobody_out(server: ServerProcess, first_bytes: bytes) -> None:
    """Clients that keep their connection open notice nothing."""

    def catch_up() -> None:
        assert get(f"{server.url}/readyz").status == 200

    def attack() -> None:
        with (
            Load(server.url, BODY, clients=1) as load,
            many_sockets(server.address, IDLE, first_bytes, catch_up),
        ):
            pass
        assert load.broken == []
        assert set(load.responses) == {200}

    assert_harmless(server, attack)
    metrics = MetricsPage.scrape(server.url)
    assert metrics.total("convserve_connection_rejections_total", reason="evicted") > 0
    assert metrics.total("convserve_connection_rejections_total", reason="too_many_connections") == 0


@pytest.mark.measures
def test_probes_are_answered_while_thousands_of_bodies_arrive(server: ServerProcess) -> None:
    def catch_up() -> None:
        assert get(f"{server.url}/readyz").status == 200

    def attack() -> None:
        with many_sockets(server.address, BUSY, REQUEST[:-1], catch_up) as clients:
            assert read_response(clients[-1]).status == 503
            clients[0].sendall(REQUEST[-1:])
            assert read_response(clients[0]).status == 200

    assert_harmless(server, attack)


@needs_procfs
@pytest.mark.measures
def test_unfinished_handshakes_lock_nobody_out(shades: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.sign("server")
    tls = ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
    with ServerProcess(shades, *tls) as server:

        def catch_up() -> None:
            assert page(server.url, "/readyz", trusting(authority)).status == 200

        def attack() -> None:
            with many_sockets(server.address, UNFINISHED, BEGINNING, catch_up) as clients:
                for client in clients[: UNFINISHED - MAX_CONNECTIONS]:
                    assert client.recv(1) == b""

        before = memory(server.pid, "VmRSS")
        assert_harmless(server, attack)

        def returned() -> bool:
            catch_up()
            return memory(server.pid, "VmRSS") < before + MAX_REMAINDER

        eventually(returned)
        assert server.stderr.text == ""
