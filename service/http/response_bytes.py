"""The head of an answer of HTTP/1.1, as it is written."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

Headers = Sequence[tuple[bytes, bytes]]

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class HeadEncoder:
    """Puts heads together: of the headers that all of them bear, the lines are kept."""

    def __init__(self) -> None:
        self._common: Headers = ()
        self._common_lines = b""

    def head(self, status: int, common: Headers, own: Headers) -> bytes:
        """The head, with the empty line at its end. `common` is another object whenever it has changed."""
        if common is not self._common:  # uvicorn makes them anew once a second
            self._common, self._common_lines = common, _lines(common)
        return b"".join((_STATUS_LINES[status], self._common_lines, _lines(own), b"\r\n"))


def _lines(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])
