"""One keep-alive connection of HTTP/1.1 that sends prepared bytes and reads answers with httptools."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from httptools import HttpParserError, HttpResponseParser

Status = int | str
OnAnswer = Callable[["Connection", Status, bytes], None]
OnLoss = Callable[["Connection"], None]


class Connection(asyncio.Protocol):
    """One request at a time. After `on_loss` it is of no more use.

    Args:
        on_answer: is given each whole answer; it may send the next request at once.
        on_loss: is told that the server closed, or answered what is not HTTP.

    Attributes:
        busy: whether a request is under way.
        closing: whether it has been closed; its loss is told in a later turn of the loop.
        request: the number of the request that is under way; the owner's to set, as is `started`.
        started: when its latency began to count, by `time.monotonic()`.
    """

    __slots__ = (
        "_body",
        "_on_answer",
        "_on_loss",
        "_parser",
        "_transport",
        "busy",
        "closing",
        "request",
        "started",
    )

    def __init__(self, on_answer: OnAnswer, on_loss: OnLoss) -> None:
        self._on_answer = on_answer
        self._on_loss = on_loss
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._body: bytes = b""
        self.busy = False
        self.closing = False
        self.request = 0
        self.started = 0.0

    def send(self, data: bytes) -> None:
        assert self._transport is not None
        self.busy = True
        self._transport.write(data)

    def close(self) -> None:
        self.closing = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods alone

    def connection_lost(self, error: Exception | None) -> None:
        self._on_loss(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self.close()

    def on_body(self, body: bytes) -> None:
        """Called by the parser, once for all but long answers."""
        self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        """Called by the parser."""
        body, self._body = self._body, b""
        self.busy = False
        if not self._parser.should_keep_alive():
            self.close()
        self._on_answer(self, self._parser.get_status_code(), body)
