"""HTTP as bytes on a socket, where a well-behaved client library would stand in the way."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.http.answer import Answer
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


def read_answer(client: socket.socket) -> Answer:
    response = http.client.HTTPResponse(client)
    response.begin()
    return Answer.read(response)
