"""TLS handshakes that are not finished, by the thousand or slowly."""

from __future__ import annotations

import resource
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.test_tls import classify, page, trusting
from tests.support.http.raw_http import connected, head, read_response
from tests.support.models.gray_classifier import image, level
from tests.support.server.certificates import Authority
from tests.support.server.eventually import eventually
from tests.support.server.metrics_page import MetricsPage
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import PROC, needs_procfs
from tests.support.server.server_process import ServerProcess

BODY = image(level(7))
REQUEST = head(f"Content-Length: {len(BODY)}") + BODY
MAX_CONNECTIONS = 16
MAX_SHUTDOWN_SECONDS = 10.0  # a third of the default time for requests in progress
# The header of a TLS record, and the start of a ClientHello.
BEGINNING = b"\x16\x03\x01\x02\x00\x01\x00"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secured(shades: Path, authority: Authority) -> Iterator[ServerProcess]:
    """A server with few connections, which logs nothing about what clients do."""
    pair = authority.sign("server")
    tls = ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
    limits = ("--max-connections", str(MAX_CONNECTIONS), "--head-timeout-s", "1")
    with ServerProcess(shades, *tls, *limits) as server:
        yield server
        assert server.stderr.text == ""


def rejections(server: ServerProcess, authority: Authority, reason: str) -> float:
    metrics = MetricsPage.parse(page(server.url, "/metrics", trusting(authority)).body.decode())
    return metrics.total("convserve_connection_rejections_total", reason=reason)


@pytest.mark.parametrize("sent", [b"", BEGINNING])
def test_unfinished_handshake_times_out(secured: ServerProcess, authority: Authority, sent: bytes) -> None:
    with connected(secured) as client:
        client.sendall(sent)
        assert client.recv(1024) == b""
    assert rejections(secured, authority, "slow_handshake") == 1


def test_slow_handshake_times_out(secured: ServerProcess, authority: Authority) -> None:
    """Single bytes do not extend the timeout."""
    with connected(secured) as client:
        client.settimeout(0.1)
        client.sendall(BEGINNING)

        def closed() -> bool:
            try:
                client.sendall(b"x")
                return client.recv(1024) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        eventually(closed)
    assert rejections(secured, authority, "slow_handshake") == 1


def test_unfinished_handshakes_make_room(secured: ServerProcess, authority: Authority) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(secured)) for _ in range(3 * MAX_CONNECTIONS)]
        for client in clients[:MAX_CONNECTIONS]:  # the first are closed for those that came later
            client.settimeout(DEADLINE)
            assert client.recv(1) == b""
        assert classify(secured.address, trusting(authority)).status == 200
    assert rejections(secured, authority, "evicted") >= 2 * MAX_CONNECTIONS


def test_idle_tls_connection_ends_with_an_ordinary_close(
    secured: ServerProcess, authority: Authority
) -> None:
    """The client reads the end of TLS and not a cut connection."""
    with ExitStack() as stack:
        plain = stack.enter_context(connected(secured))
        client = stack.enter_context(
            trusting(authority).wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
        )
        client.sendall(REQUEST)
        assert read_response(client).status == 200
        for _ in range(MAX_CONNECTIONS):
            stack.enter_context(connected(secured))
        assert client.recv(1) == b""


@pytest.mark.measures
def test_clients_that_do_not_end_tls_delay_shutdown_only_briefly(
    secured: ServerProcess, authority: Authority
) -> None:
    """They do not answer the server's end of TLS."""
    with ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS // 2):
            plain = stack.enter_context(connected(secured))
            stack.enter_context(trusting(authority).wrap_socket(plain, server_hostname="localhost"))
            stack.enter_context(connected(secured))  # with an unfinished handshake
        begun = time.monotonic()
        secured.stop()
        assert time.monotonic() - begun < MAX_SHUTDOWN_SECONDS


@needs_procfs
def test_exhausted_files_are_logged_once(shades: Path, authority: Authority) -> None:
    """New connections wait until files can be opened again; a connection that is open keeps working."""
    pair = authority.sign("server")
    tls = ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
    with ServerProcess(shades, *tls) as server, ExitStack() as stack:
        client = stack.enter_context(
            trusting(authority).wrap_socket(
                stack.enter_context(connected(server)), server_hostname="localhost"
            )
        )
        usual = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        opened = len(list((PROC / str(server.pid) / "fd").iterdir()))
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (opened + 8, usual[1]))
        crowd = [stack.enter_context(connected(server)) for _ in range(64)]
        server.stderr.wait_for(r"cannot accept connections: Too many open files")
        for _ in range(3):
            client.sendall(REQUEST)
            assert read_response(client).status == 200
        for each in crowd:
            each.close()
        assert classify(server.address, trusting(authority)).status == 200
        assert len(server.stderr.text.splitlines()) == 1


def test_failed_handshakes_free_their_slots(secured: ServerProcess, authority: Authority) -> None:
    """Of clients that do not speak TLS, trust another authority, or leave."""
    for _ in range(MAX_CONNECTIONS):
        with connected(secured) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            client.recv(1024)
        with connected(secured) as client, pytest.raises(ssl.SSLError):
            ssl.create_default_context().wrap_socket(client, server_hostname="localhost")
        with connected(secured) as client:
            client.sendall(BEGINNING)
    assert classify(secured.address, trusting(authority)).status == 200
    assert rejections(secured, authority, "evicted") == 0
