"""New connections are accepted soon, also behind many others."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.http.raw_http import chunk, head
from tests.support.models.gray_classifier import image, level
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import needs_procfs
from tests.support.server.server_process import ServerProcess
from tests.support.server.watched import assert_harmless

UPLOADS = 4
BURST = 500
HEAD = b"POST /classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = chunk(b"x") * 200_000
CLIENTS = 16
SECONDS = 3.0
BODY = image(level(7))
REQUEST = head(f"Content-Length: {len(BODY)}") + BODY
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@needs_procfs
@pytest.mark.measures
def test_burst_of_connections_delays_no_new_client(shades: Path) -> None:
    """Uploads of small chunks fill each iteration of the event loop meanwhile."""

    def upload(connection: socket.socket) -> None:
        with suppress(OSError):  # the body may be rejected
            connection.sendall(HEAD + CHUNKS)

    def connect(stack: ExitStack) -> socket.socket:
        return stack.enter_context(socket.create_connection(server.address, timeout=DEADLINE))

    def attack() -> None:
        with ExitStack() as stack:
            uploads = [threading.Thread(target=upload, args=(connect(stack),)) for _ in range(UPLOADS)]
            for each in uploads:
                each.start()
            for _ in range(BURST):
                connect(stack)
            for each in uploads:
                each.join()

    with ServerProcess(shades) as server:
        assert_harmless(server, attack)


@needs_procfs
@pytest.mark.measures
def test_requests_of_connections_that_were_reset_delay_no_new_client(shades: Path) -> None:
    """They fill the queue of connections that are not accepted yet."""

    def send_and_reset(end: float) -> None:
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection(server.address, timeout=DEADLINE) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                connection.sendall(REQUEST)

    def attack() -> None:
        end = time.monotonic() + SECONDS
        clients = [threading.Thread(target=send_and_reset, args=(end,)) for _ in range(CLIENTS)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()

    with ServerProcess(shades) as server:
        assert_harmless(server, attack)
