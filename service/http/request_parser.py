"""Parses requests: httptools with limits on the head, and the ASGI scope of a request."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools

from ..config.limits import ConnectionLimits
from ..errors import BudgetExceeded, PayloadTooLarge
from ..telemetry.rejections import RejectionReason
from .response_bytes import ProtocolError

if TYPE_CHECKING:
    from .protocol import HttpProtocol

# Bytes of framing for each byte of a body; a chunk of one byte takes five.
MAX_FRAMING_PER_BYTE = 16

# No name contains one. `$` in the pattern of a route also matches before a line feed at the end.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")

logger = logging.getLogger(__name__)


class RequestParser:
    """Notifies its connection of each request, each part of a body, and the end of each request.

    Methods named `on_…` are httptools' callbacks.

    Attributes:
        url: the target of the request that is arriving, as sent.
        headers: its headers, their names in lower case.
        method, version: of the request, once its head is complete.
        keep_alive: whether the connection stays open after the response; never in HTTP/1.0.
        chunked: whether the body arrives in chunks.
        expects_continue: whether the client waits for "100 Continue" before it sends the body.
    """

    def __init__(self, connection: HttpProtocol, limits: ConnectionLimits) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.method = b""
        self.version = ""
        self.keep_alive = False
        self.chunked = False
        self.expects_continue = False
        self._connection = connection
        self._limits = limits
        self._other_bytes = 0
        self._chunk_bytes = 0
        self._body_start = 0
        self._in_head = False
        self._upgrade_offered = False
        self.on_body = connection.on_body  # without a method of the parser in between, to save a call
        self._parser = self._new_parser()

    def close(self) -> None:
        """Break the cycle of references through httptools, so that the connection is freed at once."""
        del self._parser

    @property
    def head_bytes(self) -> int:
        """The size of a head that is complete, at most; of one that begins behind another request, 0."""
        return min(self._other_bytes + self._chunk_bytes, self._limits.max_head_bytes)

    def begin_head(self) -> None:
        """Start counting the bytes of a head, which is the next to be parsed."""
        self._other_bytes = 0

    def feed(self, data: bytes | memoryview) -> None:
        """Parse a chunk.

        Raises:
            ProtocolError: it is malformed, or a limit is exceeded.
        """
        end = self._feed(data)
        while end is not None:  # a chunk may hold a thousand requests, each with an offer to upgrade
            data = memoryview(data)[end:]
            self._feed(self._without_upgrade())
            end = self._feed(data)

    def _feed(self, data: bytes | memoryview) -> int | None:
        """Parse a chunk; None at its end, or the position behind a head that offers an upgrade."""
        connection = self._connection
        size = self._chunk_bytes = len(data)
        body_bytes = connection.body_bytes
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._upgrade_offered:
                end: int = upgrade.args[0]
                return end
        except httptools.HttpParserError as error:
            raise _rejection_of(error) from error
        self._other_bytes += size - (connection.body_bytes - body_bytes)
        if self._other_bytes > self._limits.max_head_bytes:
            self._check_other_bytes()
        return None

    def scope(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """The ASGI scope of the request: `base` and its own entries.

        Raises:
            ProtocolError: its target has no path, or one with control characters.
        """
        url = self.url
        if url.startswith(b"/") and b"#" not in url:
            raw_path, _, query = url.partition(b"?")
        else:
            parsed = httptools.parse_url(url)
            raw_path, query = parsed.path, parsed.query or b""
            if raw_path is None:
                raise ProtocolError(400, RejectionReason.MALFORMED, "the request target has no path")
        path = raw_path.decode("ascii")
        if "%" in path:
            path = unquote(path)
        if not path.isprintable() and _CONTROLS.search(path):
            message = "the path contains a control character"
            raise ProtocolError(400, RejectionReason.MALFORMED, message)
        return {
            **base,
            "http_version": self.version,
            "method": self.method.decode("ascii"),
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
        }

    def on_message_begin(self) -> None:
        if self._connection.on_head():  # it begins behind another request, at an unknown position
            self._other_bytes = -self._chunk_bytes
        self._in_head = True
        self.url = b""
        self.headers = []
        self.chunked = self.expects_continue = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:  # a trailer: it must not look like a header of the request
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expects_continue = True
        elif name == b"transfer-encoding":
            self.chunked = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        self.method = self._parser.get_method()
        self.version = self._parser.get_http_version()
        self.keep_alive = self.version != "1.0" and self._parser.should_keep_alive()
        self._upgrade_offered = self._parser.should_upgrade() and self.method != b"CONNECT"
        if not self._upgrade_offered:
            self._check_head()
            self._other_bytes = -self._chunk_bytes
            self._body_start = self._connection.body_bytes
            self._connection.on_request()

    def on_message_complete(self) -> None:
        if not self._upgrade_offered:
            self._connection.on_request_complete()

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # Bytes after a request with "Connection: close" must not make that request fail.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _without_upgrade(self) -> bytes:
        """The head of the request, for a new parser, without its offer to upgrade to another protocol.

        Java's client offers HTTP/2 with its first request. The parser ends the request at the
        offer, and its body would be lost.
        """
        self._other_bytes = 0
        headers = [(name, value) for name, value in self.headers if name not in (b"upgrade", b"connection")]
        lines = [b"%b %b HTTP/%b" % (self.method, self.url, self.version.encode())]
        lines += [b"%b: %b" % header for header in headers]
        self._parser = self._new_parser()
        return b"\r\n".join([*lines, b"", b""])

    def _check_head(self) -> None:
        limits = self._limits
        if len(self.headers) > limits.max_headers:
            raise self._large_head()
        # The exact size matters only if the chunks that hold the head could exceed the limit.
        if self._other_bytes + self._chunk_bytes > limits.max_head_bytes:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > limits.max_head_bytes:
                raise self._large_head()

    def _check_other_bytes(self) -> None:
        """Check the bytes of a request that are not its body.

        Raises:
            ProtocolError: the head is too large, or there are too many chunk extensions or trailers.
        """
        if self._connection.reads_head:
            raise self._large_head()
        received = self._connection.body_bytes - self._body_start
        if self._other_bytes > self._limits.max_head_bytes + MAX_FRAMING_PER_BYTE * received:
            message = "the chunk extensions or trailers of the request's body are too long"
            raise ProtocolError(431, RejectionReason.LARGE_HEAD, message)

    def _large_head(self) -> ProtocolError:
        limits = self._limits
        message = (
            f"the request's head has more than {limits.max_head_bytes} bytes or {limits.max_headers} headers"
        )
        return ProtocolError(431, RejectionReason.LARGE_HEAD, message)


def _rejection_of(error: httptools.HttpParserError) -> Exception:
    """The rejection for an error of the parser, or for one that it passes on from a callback."""
    cause = error.__context__
    if isinstance(cause, ProtocolError | BudgetExceeded | PayloadTooLarge):
        return cause
    if cause is not None and not isinstance(cause, (ValueError, httptools.HttpParserError)):
        logger.error("a request could not be read", exc_info=cause)
    return ProtocolError(400, RejectionReason.MALFORMED, "malformed HTTP/1.1 request")
