"""Clients that send requests continuously in the background."""

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
    """Posts `body` to `/classify` from several threads until the server or the block ends.

    Attributes:
        responses: the number of complete responses by status.
        broken: the error of each response that began but was not completed.
    """

    def __init__(self, url: str, body: bytes, *, clients: int, reconnect: bool = False) -> None:
        """`reconnect` opens a connection per request; clients then continue after a failed connection."""
        self.responses: Counter[int] = Counter()
        self.broken: list[str] = []
        self._address = urlsplit(url).netloc
        self._body = body
        self._reconnect = reconnect
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._warm = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Self:
        """Returns once every client has had some responses."""
        for thread in self._threads:
            thread.start()
        for _ in self._threads:
            assert self._warm.acquire(timeout=DEADLINE), "the clients get no responses"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self.join()

    def join(self) -> None:
        """Waits for the clients to end."""
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=DEADLINE)
        completed = 0
        try:
            while not self._stopped.is_set():
                status = self._status(connection)
                if status == 200:
                    completed += 1
                    if completed == WARM_UP:
                        self._warm.release()
                elif not self._reconnect:
                    return
                if self._reconnect:
                    connection.close()
        finally:
            connection.close()

    def _status(self, connection: http.client.HTTPConnection) -> int | None:
        """The status of a complete response; None if there was none."""
        try:
            connection.request("POST", "/classify", self._body, {"Content-Type": "image/png"})
            response = connection.getresponse()
        except ConnectionError:  # includes RemoteDisconnected, a close before the first byte
            return None
        except (OSError, http.client.HTTPException) as error:
            self._record(error)
            return None
        try:
            response.read()
        except (OSError, http.client.HTTPException) as error:
            self._record(error)
            return None
        with self._lock:
            self.responses[response.status] += 1
        return response.status

    def _record(self, error: Exception) -> None:
        with self._lock:
            self.broken.append(repr(error))
