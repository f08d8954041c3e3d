"""Encodes HTTP/1.1 responses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from http import HTTPStatus

from ..errors import BudgetExceeded, PayloadTooLarge
from ..telemetry.rejections import RejectionReason

Headers = Sequence[tuple[bytes, bytes]]

CLOSE = (b"connection", b"close")

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
# RFC 9110, 5.6.2 and 5.5: the characters of a header's name, and those forbidden in its value.
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
_CONTROLS = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])
_MAX_CACHED_NAMES = 256


class ProtocolError(Exception):
    """A request that the protocol layer rejects; the connection is closed after the response.

    The parser's callbacks raise it, and the parser passes it on as the context of its own error.
    """

    def __init__(self, status: int, reason: RejectionReason, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason

    @property
    def headers(self) -> Headers:
        retry = [(b"retry-after", b"1")] if self.status in (429, 503) else []
        return [(b"content-type", b"application/json"), *retry]

    @property
    def body(self) -> bytes:
        return error_body(str(self))


def too_many_bytes(error: BudgetExceeded | PayloadTooLarge) -> ProtocolError:
    """The rejection of a request whose bytes cannot be held now, or never."""
    status = 429 if isinstance(error, BudgetExceeded) else 413
    return ProtocolError(status, RejectionReason.TOO_MANY_BYTES, str(error))


def error_body(message: str) -> bytes:
    """The JSON body of every error response."""
    return json.dumps({"error": message}).encode()


class ResponseEncoder:
    """Encodes response heads; keeps the encoded lines of the headers that all responses share."""

    def __init__(self) -> None:
        self._common: Headers = ()
        self._common_lines = b""
        self._names: dict[bytes, bytes] = {}

    def head(self, status: int, common: Headers, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The status line, the headers and the empty line.

        Args:
            common: headers of every response, a new object whenever they change.
            headers: headers of this response.

        Raises:
            ValueError: a name or value contains a character that HTTP does not allow.
        """
        if common is not self._common:  # uvicorn replaces the list once a second, for the date
            self._common, self._common_lines = common, self._lines(common)
        return b"".join((_status_line(status), self._common_lines, self._lines(headers), b"\r\n"))

    def _lines(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        parts: list[bytes] = []
        for name, value in headers:
            parts += (self._names.get(name) or self._prefix(name), value, b"\r\n")
        lines = b"".join(parts)
        # A line ends with two control characters. A third is in the value, where it could start another line.
        if len(lines) - len(lines.translate(None, _CONTROLS)) != 2 * len(parts) // 3:
            raise ValueError("the value of a header contains a control character")
        return lines

    def _prefix(self, name: bytes) -> bytes:
        lower = name.lower()
        if not lower or not _TOKEN.issuperset(lower):
            raise ValueError(f"{name!r} is not a valid header name")
        prefix = lower + b": "
        if len(self._names) < _MAX_CACHED_NAMES:
            self._names[name] = prefix
        return prefix


def _status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
