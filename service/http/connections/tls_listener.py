"""Accepts TLS connections, whose sockets count from the accept on and not from the end of the handshake."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial

from ...telemetry.rejections import RejectionReason
from ..connection_pool import ConnectionPool
from .slots import Slot

# Between two turns of the event loop, so that a flood of connections does not delay those that are open.
ACCEPTS_PER_TURN = 16
ACCEPT_RETRY_SECONDS = 0.1
# Seconds between two log lines that connections cannot be accepted.
LOG_SECONDS = 60.0
# How long a client may take to confirm the end of TLS before the socket is closed.
SHUTDOWN_SECONDS = 2.0
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

Handshake = asyncio.Task[tuple[asyncio.BaseTransport, asyncio.Protocol]]

logger = logging.getLogger(__name__)


class TlsListener:
    """Performs the handshakes of one listening socket.

    It has the methods of asyncio.Server that uvicorn calls. asyncio's and uvloop's own servers keep a
    connection to themselves until its handshake ends: it would be in no limit, and could not be closed.

    Args:
        connect: creates the protocol of a connection, with its `slot`.
    """

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        pool: ConnectionPool,
        connect: Callable[..., asyncio.Protocol],
        *,
        admin: bool,
    ) -> None:
        self._listener = listener
        self._context = context
        self._pool = pool
        self._connect = connect
        self._admin = admin
        self._loop = asyncio.get_running_loop()
        self._handshakes: set[Handshake] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._silent_until = 0.0

    def start(self, backlog: int) -> None:
        self._listener.setblocking(False)
        self._listener.listen(backlog)
        self._resume()

    def close(self) -> None:
        """Stop accepting, and close the connections whose handshake is unfinished."""
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._listener)
        for handshake in self._handshakes:
            handshake.cancel()

    async def wait_closed(self) -> None:
        """Wait for the unfinished handshakes to end."""
        await asyncio.gather(*self._handshakes, return_exceptions=True)

    def _resume(self) -> None:
        self._retry = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                client, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # usually the client has left
                if error.errno in _EXHAUSTED:
                    self._pause(error)
                    return
                continue
            client.setblocking(False)
            self._begin(client, str(address[0]))

    def _pause(self, error: OSError) -> None:
        """Accept nothing for a moment: the socket stays readable, and the loop would do nothing else."""
        self._loop.remove_reader(self._listener)
        self._retry = self._loop.call_later(ACCEPT_RETRY_SECONDS, self._resume)
        now = self._loop.time()
        if now >= self._silent_until:
            self._silent_until = now + LOG_SECONDS
            logger.warning("cannot accept connections: %s", error.strerror)

    def _begin(self, client: socket.socket, address: str) -> None:
        slot = Slot(self._pool.slots, admin=self._admin)
        if not slot.take(client.fileno(), address):
            client.close()
            slot.release()
            return
        handshake = self._loop.create_task(
            self._loop.connect_accepted_socket(
                partial(self._connect, slot=slot),
                client,
                ssl=self._context,
                ssl_handshake_timeout=self._pool.limits.head_timeout,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        )
        slot.close = partial(_cancel, handshake)  # until the protocol replaces it
        self._handshakes.add(handshake)
        handshake.add_done_callback(partial(self._end, client, slot))

    def _end(self, client: socket.socket, slot: Slot, handshake: Handshake) -> None:
        """Free the slot if the handshake has failed; otherwise the protocol does so."""
        self._handshakes.discard(handshake)
        error = None if handshake.cancelled() else handshake.exception()
        if error is None and not handshake.cancelled():
            return
        slot.release()
        client.close()  # nothing else does if the task was cancelled before it began
        if isinstance(error, ConnectionAbortedError):
            self._pool.rejections.count(RejectionReason.SLOW_HANDSHAKE)
        elif error is not None and not isinstance(error, OSError):
            # An OSError is the client's: not TLS, no common version, no valid certificate, or a disconnect.
            logger.error("a TLS handshake failed", exc_info=error)


def _cancel(handshake: Handshake, ordinary: bool) -> None:
    handshake.cancel()
