"""An HTTP/1.1 keep-alive connection that sends prepared requests and parses responses with httptools."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from httptools import HttpParserError, HttpResponseParser

Status = int | str
OnResponse = Callable[["Connection", Status, bytes], None]
OnLoss = Callable[["Connection"], None]


class Connection(asyncio.Protocol):
    """Carries one request at a time. It cannot be used after `on_loss`.

    Args:
        on_response: called with each complete response; it may send the next request at once.
        on_loss: called when the connection is closed, also after a response that is not HTTP.

    Attributes:
        busy: whether a request is in progress.
        closing: whether `close` has been called; `on_loss` follows in a later iteration of the event loop.
        request: number of the request in progress; set by the owner, as is `started`.
        started: start of its latency, by `time.monotonic()`.
    """

    __slots__ = (
        "_body",
        "_on_loss",
        "_on_response",
        "_parser",
        "_transport",
        "busy",
        "closing",
        "request",
        "started",
    )

    def __init__(self, on_response: OnResponse, on_loss: OnLoss) -> None:
        self._on_response = on_response
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
        # uvloop's transports have the methods of asyncio.Transport, but do not inherit from it.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._on_loss(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self.close()

    def on_body(self, body: bytes) -> None:
        """Called by the parser; more than once for long responses."""
        self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        """Called by the parser."""
        body, self._body = self._body, b""
        self.busy = False
        if not self._parser.should_keep_alive():
            self.close()
        self._on_response(self, self._parser.get_status_code(), body)
