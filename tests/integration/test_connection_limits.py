"""More connections than a worker accepts: idle ones make room, and probes are answered while none does."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.support.http.client import HttpResponse
from tests.support.http.raw_http import beginning_after_trickle, connected, head, read_response
from tests.support.models.gray_classifier import image, level
from tests.support.server.eventually import eventually
from tests.support.server.metrics_page import MetricsPage, scrape_until
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import ServerProcess

BODY = image(level(7))
REQUEST = head(f"Content-Length: {len(BODY)}") + BODY
HALF = len(REQUEST) - len(BODY) // 2
MAX_CONNECTIONS = 16
RESERVED = 4  # connections above the limit
PROBES = ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/ping")

Address = tuple[str, int]


@contextmanager
def limited(shades: Path, *arguments: str) -> Iterator[ServerProcess]:
    limits = ("--max-connections", str(MAX_CONNECTIONS), "--admin-port", "-1", "--head-timeout-s", "1")
    with ServerProcess(shades, *limits, *arguments) as server:
        yield server
        assert server.stderr.text == ""


@pytest.fixture
def small(shades: Path) -> Iterator[ServerProcess]:
    """A server with few connections."""
    with limited(shades) as server:
        yield server


def admin_address(server: ServerProcess) -> Address:
    host, _, port = server.stdout.wait_for(r"^  admin: https?://(\S+)$")[1].rpartition(":")
    return host, int(port)


def rejections(server: ServerProcess, reason: str) -> float:
    page = MetricsPage.scrape("http://{}:{}".format(*admin_address(server)))
    return page.total("convserve_connection_rejections_total", reason=reason)


def ask(address: Address, path: str, source: str = "127.0.0.1") -> HttpResponse:
    """A GET request over a new connection."""
    connection = http.client.HTTPConnection(*address, timeout=DEADLINE, source_address=(source, 0))
    with closing(connection):
        connection.request("GET", path)
        return HttpResponse.read(connection.getresponse())


def used(stack: ExitStack, server: ServerProcess) -> socket.socket:
    """An idle connection that has had a request."""
    client = stack.enter_context(connected(server))
    client.sendall(REQUEST)
    assert read_response(client).status == 200
    return client


def busy(stack: ExitStack, server: ServerProcess, number: int) -> Sequence[socket.socket]:
    """Connections, each with a request in progress whose body has half arrived."""
    clients = [stack.enter_context(connected(server)) for _ in range(number)]
    for client in clients:
        client.sendall(REQUEST[:HALF])
    url = "http://{}:{}".format(*admin_address(server))
    scrape_until(url, lambda page: page.total("convserve_inflight_requests") >= number)
    return clients


def finish(client: socket.socket) -> int:
    """Completes the request of a busy connection; returns its status."""
    client.sendall(REQUEST[HALF:])
    return read_response(client).status


def test_longest_idle_connection_makes_room_for_a_new_one(small: ServerProcess) -> None:
    """A client that loses its connection sees an ordinary close; one with a request in progress keeps it."""
    with ExitStack() as stack:
        (working,) = busy(stack, small, 1)
        clients = [used(stack, small) for _ in range(MAX_CONNECTIONS - 1)]
        clients[0].sendall(REQUEST)  # now the second is the longest idle
        assert read_response(clients[0]).status == 200
        used(stack, small)
        assert clients[1].recv(1) == b""
        assert finish(working) == 200
        for client in clients[2:]:
            client.sendall(REQUEST)
            assert read_response(client).status == 200
    assert rejections(small, "evicted") >= 1
    assert rejections(small, "too_many_connections") == 0


def test_connections_that_send_nothing_lock_nobody_out(small: ServerProcess) -> None:
    with ExitStack() as stack:
        for _ in range(3 * MAX_CONNECTIONS):
            stack.enter_context(connected(small))
        used(stack, small)
        for path in PROBES:
            assert ask(small.address, path).status == 200
            assert ask(admin_address(small), path).status == 200


def test_probes_are_answered_while_every_connection_is_busy(small: ServerProcess) -> None:
    with ExitStack() as stack:
        clients = busy(stack, small, MAX_CONNECTIONS)
        for _ in range(3 * RESERVED):  # among the reserved slots, too, the longest idle makes room
            stack.enter_context(connected(small))
        for path in PROBES:
            assert ask(admin_address(small), path).status == 200
            response = ask(small.address, path)
            assert response.status == 200
            assert response.headers["connection"] == "close"
        assert ask(admin_address(small), "/metrics").status == 200
        response = ask(small.address, "/models")
        assert response.status == 503
        assert response.json == {"error": "the server has too many connections"}
        assert response.headers["retry-after"] == "1"
        assert [finish(client) for client in clients] == [200] * MAX_CONNECTIONS
        assert ask(small.address, "/models").status == 200
    assert rejections(small, "too_many_connections") >= 1


def test_reserved_connection_gets_a_free_slot_with_its_first_request(small: ServerProcess) -> None:
    with ExitStack() as stack:
        clients = busy(stack, small, MAX_CONNECTIONS)
        reserved = stack.enter_context(connected(small))
        assert finish(clients[0]) == 200
        for _ in range(2):  # it is an ordinary connection, which stays open
            reserved.sendall(REQUEST)
            assert read_response(reserved).status == 200


def test_reserved_connection_times_out(small: ServerProcess) -> None:
    """Single bytes do not extend the time in which a head has to arrive."""
    with ExitStack() as stack:
        busy(stack, small, MAX_CONNECTIONS)
        client = stack.enter_context(connected(small))
        client.settimeout(0.1)
        assert beginning_after_trickle(client) == b"HTTP/1.1 408"


def test_connections_of_an_address_are_limited(shades: Path) -> None:
    with limited(shades, "--max-connections-per-address", "2") as server, ExitStack() as stack:
        clients = [used(stack, server) for _ in range(2)]
        response = ask(server.address, "/models")
        assert response.status == 429
        assert response.json == {"error": "the client's address has 2 connections, the maximum"}
        assert ask(server.address, "/livez").status == 200
        assert ask(server.address, "/models", source="127.0.0.2").status == 200
        assert ask(admin_address(server), "/metrics").status == 200
        for client in clients:  # they are unaffected
            client.sendall(REQUEST)
            assert read_response(client).status == 200
        clients.pop().close()
        assert eventually(lambda: ask(server.address, "/models").status == 200)
        assert rejections(server, "too_many_of_address") >= 1


def test_connections_over_the_limit_of_an_address_displace_nobody(shades: Path) -> None:
    """They fill the reserved slots, and others still get through."""
    with limited(shades, "--max-connections-per-address", "2") as server, ExitStack() as stack:
        for _ in range(2 * MAX_CONNECTIONS):
            stack.enter_context(connected(server))
        with socket.create_connection(server.address, DEADLINE, ("127.0.0.2", 0)) as other:
            for _ in range(2):
                other.sendall(REQUEST)
                assert read_response(other).status == 200
                assert ask(server.address, "/readyz", source="127.0.0.3").status == 200


def test_trusted_proxy_has_no_limit_of_an_address(shades: Path) -> None:
    trusted = ("--max-connections-per-address", "2", "--trusted-proxies", "127.0.0.0/8")
    with limited(shades, *trusted) as server, ExitStack() as stack:
        for _ in range(5):
            used(stack, server)
