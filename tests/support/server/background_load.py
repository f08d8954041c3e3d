"""Clients that ask without pause, each in a thread, and the tally of what they were answered."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.support.server.output_lines import DEADLINE

WARM_UP = 20


class Load:
    """`clients` threads that post `body` to `/classify` until the server lets them down or the block ends.

    Attributes:
        answers: how often each status was answered, in full.
        broken: what was wrong with each answer that began but did not end as it promised.
    """

    def __init__(self, url: str, body: bytes, *, clients: int, reconnect: bool = False) -> None:
        """With `reconnect` every request has a connection of its own, and one that fails ends nothing."""
        self.answers: Counter[int] = Counter()
        self.broken: list[str] = []
        self._address = urlsplit(url).netloc
        self._body = body
        self._reconnect = reconnect
        self._enough = threading.Event()
        self._lock = threading.Lock()
        self._warm = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Self:
        """Returns once every client has had some answers."""
        for thread in self._threads:
            thread.start()
        for _ in self._threads:
            assert self._warm.acquire(timeout=DEADLINE), "the clients get no answers"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough.set()
        self.join()

    def join(self) -> None:
        """Wait for the clients that were let down."""
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=DEADLINE)
        answered = 0
        try:
            while not self._enough.is_set():
                status = self._status(connection)
                if status == 200:
                    answered += 1
                    if answered == WARM_UP:
                        self._warm.release()
                elif not self._reconnect:
                    return
                if self._reconnect:
                    connection.close()
        finally:
            connection.close()

    def _status(self, connection: http.client.HTTPConnection) -> int | None:
        """The status of a whole answer; None where no answer was begun."""
        try:
            connection.request("POST", "/classify", self._body, {"Content-Type": "image/png"})
            response = connection.getresponse()
        except ConnectionError:  # RemoteDisconnected is one: closed before the first byte
            return None
        except (OSError, http.client.HTTPException) as error:
            self._note(error)
            return None
        try:
            response.read()
        except (OSError, http.client.HTTPException) as error:
            self._note(error)
            return None
        with self._lock:
            self.answers[response.status] += 1
        return response.status

    def _note(self, error: Exception) -> None:
        with self._lock:
            self.broken.append(repr(error))
