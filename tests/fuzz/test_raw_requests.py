"""Bodies and headers of every kind, as bytes, against a server process that has to outlive them unharmed."""

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
    """Kept, as a client's would be; a server that hangs is told by its timeout."""
    with closing(http.client.HTTPConnection(*server.address, timeout=DEADLINE)) as connection:
        yield connection


def ask(connection: http.client.HTTPConnection, sent: Sent) -> HttpResponse:
    connection.request("POST", sent.path, sent.body, sent.headers)
    return HttpResponse.read(connection.getresponse())


def check(answer: HttpResponse) -> None:
    assert answer.status in EXPECTED, answer.body
    if answer.status != 200:
        assert list(answer.json) == ["error"]
        assert isinstance(answer.json["error"], str)


def unharmed(server: ServerProcess, connection: http.client.HTTPConnection) -> None:
    """Nothing is left in the queue, and every good request is answered as ever."""
    scrape_until(server.url, MetricsPage.is_idle)
    for sent in GOOD:
        assert ask(connection, sent).status == 200


@many
@given(requests)
def test_any_request_is_answered_or_refused_in_a_sentence(
    connection: http.client.HTTPConnection, sent: Sent
) -> None:
    check(ask(connection, sent))


@pytest.mark.parametrize("path", PATHS)
def test_a_client_that_leaves_in_the_middle_is_no_fault_of_the_servers(
    server: ServerProcess, path: str
) -> None:
    """Nor is it worth a line in the log, which the server's fixture looks at."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n".encode()
    with socket.create_connection(server.address, timeout=DEADLINE) as client:
        client.sendall(head + b"{")
    scrape_until(server.url, MetricsPage.is_idle)


def test_the_server_is_unharmed(server: ServerProcess, connection: http.client.HTTPConnection) -> None:
    unharmed(server, connection)


@needs_procfs
def test_memory_is_back_where_it_was(server: ServerProcess, connection: http.client.HTTPConnection) -> None:
    grown = growth(
        server.pid,
        requests,
        lambda sent: check(ask(connection, sent)),
        lambda: unharmed(server, connection),
    )
    assert grown < MAY_GROW
