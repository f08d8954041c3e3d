"""Fuzzes a server process with bodies and headers of every kind, as bytes."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given

from tests.support.http.client import HttpResponse
from tests.support.requests.fuzzed_bodies import GOOD, PATHS, Sent, requests
from tests.support.requests.memory_growth import MAY_GROW, growth, many
from tests.support.server.metrics_page import MetricsPage, scrape_until
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import needs_procfs
from tests.support.server.server_process import ServerProcess

EXPECTED = {200, 400, 404, 413, 415, 504}


@pytest.fixture(scope="module")
def connection(server: ServerProcess) -> Iterator[http.client.HTTPConnection]:
    """A persistent connection; its timeout detects a server that hangs."""
    with closing(http.client.HTTPConnection(*server.address, timeout=DEADLINE)) as connection:
        yield connection


def ask(connection: http.client.HTTPConnection, sent: Sent) -> HttpResponse:
    connection.request("POST", sent.path, sent.body, sent.headers)
    return HttpResponse.read(connection.getresponse())


def check(response: HttpResponse) -> None:
    assert response.status in EXPECTED, response.body
    if response.status != 200:
        assert list(response.json) == ["error"]
        assert isinstance(response.json["error"], str)


def assert_serves(server: ServerProcess, connection: http.client.HTTPConnection) -> None:
    """Asserts that the queue is empty, and that valid requests succeed."""
    scrape_until(server.url, MetricsPage.is_idle)
    for sent in GOOD:
        assert ask(connection, sent).status == 200


@many
@given(requests)
def test_any_request_succeeds_or_fails_with_a_message(
    connection: http.client.HTTPConnection, sent: Sent
) -> None:
    check(ask(connection, sent))


@pytest.mark.parametrize("path", PATHS)
def test_disconnect_does_not_harm_the_server(server: ServerProcess, path: str) -> None:
    """The server's fixture asserts that nothing was logged."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n".encode()
    with socket.create_connection(server.address, timeout=DEADLINE) as client:
        client.sendall(head + b"{")
    scrape_until(server.url, MetricsPage.is_idle)


def test_server_still_serves_valid_requests(
    server: ServerProcess, connection: http.client.HTTPConnection
) -> None:
    assert_serves(server, connection)


@needs_procfs
@pytest.mark.measures
def test_memory_does_not_grow(server: ServerProcess, connection: http.client.HTTPConnection) -> None:
    grown = growth(
        server.pid,
        requests,
        lambda sent: check(ask(connection, sent)),
        lambda: assert_serves(server, connection),
    )
    assert grown < MAY_GROW
