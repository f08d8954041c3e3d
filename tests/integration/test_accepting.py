"""New connections are accepted soon, also behind many others."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.http.raw_http import chunk
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import needs_procfs
from tests.support.server.server_process import ServerProcess
from tests.support.server.watched import assert_harmless

UPLOADS = 4
BURST = 500
HEAD = b"POST /classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = chunk(b"x") * 200_000


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
