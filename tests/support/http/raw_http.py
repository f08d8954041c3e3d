"""HTTP as bytes on a socket, for requests that client libraries do not send."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.http.client import HttpResponse
from tests.support.server.eventually import eventually
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import ServerProcess


def head(*fields: str, path: str = "/classify") -> bytes:
    """The head of a POST request of a PNG."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: image/png", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@contextmanager
def connected(server: ServerProcess) -> Iterator[socket.socket]:
    with socket.create_connection(server.address, timeout=DEADLINE) as client:
        yield client


def read_response(client: socket.socket) -> HttpResponse:
    response = http.client.HTTPResponse(client)
    response.begin()
    return HttpResponse.read(response)


def beginning_after_trickle(client: socket.socket) -> bytes:
    """The start of the response to a head that arrives byte by byte and never ends."""
    client.sendall(b"GET /")

    def received() -> bytes:
        client.sendall(b"x")
        try:
            return client.recv(12)
        except TimeoutError:
            return b""

    return eventually(received)
