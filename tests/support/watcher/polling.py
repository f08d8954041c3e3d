"""Polls a probe from threads, and keeps the time that each answer took."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Protocol

INTERVAL = 0.01
TIMEOUT = 30.0
CONTENT_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Poll:
    """One request of a probe.

    Attributes:
        begun: the clock when it began, before a new connection is opened.
        wait: seconds until the response, or until the failure.
        queued: seconds of these in which the server could have run and other processes had its processor.
        failure: an empty string if the status was 200.
    """

    begun: float
    wait: float
    queued: float
    failure: str

    @property
    def ended(self) -> float:
        return self.begun + self.wait


class Probe(Protocol):
    """A connection over which a probe is asked; opening it raises OSError if it fails."""

    def ask(self) -> str:
        """The reason for which the probe fails; an empty string if it succeeds.

        Raises:
            OSError: the connection ended before the answer did.
        """

    def close(self) -> None: ...


class Poller(threading.Thread):
    """Asks a probe at intervals, over a new connection each time or over one that stays open.

    The current answer is awaited at the end, and one more request is sent, so that a stall counts in full
    that began within the time and ended after it.

    Args:
        queues: the time that each process of the server has waited for a processor, by its number.
    """

    def __init__(
        self,
        connect: Callable[[], Probe],
        queues: Callable[[], Mapping[int, float]] = dict,
        *,
        keep_open: bool,
        interval: float = INTERVAL,
    ) -> None:
        super().__init__(daemon=True)
        self.polls: list[Poll] = []
        self._connect = connect
        self._queues = queues
        self._keep_open = keep_open
        self._interval = interval
        self._stopping = threading.Event()
        self._kept: Probe | None = None

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.wait(self._interval):
            self._poll()
        self._poll()
        if self._kept is not None:
            self._kept.close()

    def _poll(self) -> None:
        before = self._queues()
        begun = time.monotonic()
        try:
            failure = self._ask_kept() if self._keep_open else self._ask_new()
        except OSError as error:
            failure = f"{type(error).__name__}: {error}"
        wait = time.monotonic() - begun
        queued = max((after - before.get(pid, after) for pid, after in self._queues().items()), default=0.0)
        self.polls.append(Poll(begun, wait, queued, failure))

    def _ask_new(self) -> str:
        with closing(self._connect()) as probe:
            return probe.ask()

    def _ask_kept(self) -> str:
        if self._kept is not None:
            with suppress(OSError):  # a server may close an idle connection, and a client then opens another
                return self._kept.ask()
            self._kept.close()
            self._kept = None
        self._kept = self._connect()
        return self._kept.ask()


class HttpProbe:
    """A GET over one connection; only 200 is a success."""

    def __init__(
        self, address: tuple[str, int], *, path: str = "/livez", tls: bool = False, source: str = ""
    ) -> None:
        connection = socket.create_connection(address, TIMEOUT, (source, 0) if source else None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = _unverified().wrap_socket(connection) if tls else connection
        self._request = f"GET {path} HTTP/1.1\r\nHost: watcher\r\n\r\n".encode()

    def ask(self) -> str:
        self._connection.sendall(self._request)
        received = b""
        while not _is_complete(received):
            data = self._connection.recv(65536)
            if not data:
                raise ConnectionResetError("closed without a complete response")
            received += data
        status = received.partition(b"\r\n")[0].decode("latin-1")
        return "" if status[9:12] == "200" else status

    def close(self) -> None:
        self._connection.close()


def pollers(
    connect: Callable[[], Probe],
    queues: Callable[[], Mapping[int, float]] = dict,
    interval: float = INTERVAL,
) -> list[Poller]:
    """One that opens a connection each time, and one that keeps its connection open."""
    return [Poller(connect, queues, keep_open=keep_open, interval=interval) for keep_open in (False, True)]


def excess(polls: Sequence[Poll], control: Sequence[Poll], margin: float = 2 * INTERVAL) -> float:
    """The longest wait beyond that for which the load of the machine is to blame.

    That is the time that the server waited for a processor, or the longest wait of the control meanwhile,
    whichever is longer.
    """
    longest = 0.0
    for poll in polls:
        if poll.wait > longest:
            begin, end = poll.begun - margin, poll.ended + margin
            meanwhile = (each.wait for each in control if each.begun <= end and each.ended >= begin)
            longest = max(longest, poll.wait - max(poll.queued, max(meanwhile, default=0.0)))
    return longest


def _is_complete(response: bytes) -> bool:
    head, end, body = response.partition(b"\r\n\r\n")
    return bool(end) and len(body) >= int(CONTENT_LENGTH.findall(head)[0])


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
