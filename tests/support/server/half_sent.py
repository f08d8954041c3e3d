"""Starts a request without finishing it, and checks if a server still listens."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.support.server.metrics_page import scrape_until
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import ServerProcess


@contextmanager
def half_sent(server: ServerProcess, body: bytes) -> Iterator[http.client.HTTPConnection]:
    """A request that the server is reading, half of whose body has been sent."""
    with closing(http.client.HTTPConnection(*server.address, timeout=DEADLINE)) as connection:
        connection.putrequest("POST", "/classify")
        connection.putheader("Content-Type", "image/png")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[: len(body) // 2])
        scrape_until(server.url, lambda page: page.total("convserve_inflight_requests") == 1)
        yield connection


def is_port_closed(server: ServerProcess) -> bool:
    try:
        socket.create_connection(server.address, timeout=DEADLINE).close()
    except ConnectionError:
        return True
    return False
