"""Opens more connections than the usual limit of open files allows."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.support.server.output_lines import DEADLINE

OTHER_FILES = 256
# Connections that are opened at a time, fewer than the server can accept within a few milliseconds.
PORTION = 50


@contextmanager
def many_sockets(
    address: tuple[str, int], number: int, first_bytes: bytes, catch_up: Callable[[], object]
) -> Iterator[Sequence[socket.socket]]:
    """Open connections, each of which sends the bytes, and close them; the server may close some meanwhile.

    `catch_up` returns when the server has handled all connections so far. Without it, the wait of another
    client would show how fast this process opens and closes them, and not what open ones do to the server.
    """
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    if usual[0] != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(usual[0], number + OTHER_FILES), usual[1]))
    try:
        with ExitStack() as stack:
            clients = []
            for count in range(number):
                client = stack.enter_context(socket.create_connection(address, timeout=DEADLINE))
                client.sendall(first_bytes)
                clients.append(client)
                if count % PORTION == 0:
                    catch_up()
            yield clients
            for count, client in enumerate(clients):
                client.close()
                if count % PORTION == 0:
                    catch_up()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
