"""The files of a multipart/form-data body (RFC 7578), kept in memory, where the body already is."""

from __future__ import annotations

import logging
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError

from ..decoding import Image
from ..errors import InvalidInput, PayloadTooLarge

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks


# A client's mistakes go back to the client, and do not fill the server's log.
_UNHEARD = logging.Logger("unheard", logging.CRITICAL)
# Reading a part costs microseconds, whatever is in it, and a body has room for a million.
MAX_PARTS = 10_000


def read_files(content_type: str, body: bytes) -> list[Image]:
    """The parts that are files: those with a file name, or with an image's media type; in their order.

    Raises:
        InvalidInput: no boundary, or a body that is not what the boundary promises.
        PayloadTooLarge: more than MAX_PARTS parts.
    """
    boundary = _parameters("content-type", content_type).get("boundary")
    if not boundary:
        raise InvalidInput("the Content-Type multipart/form-data has no boundary")
    collector = _Collector()
    try:
        parser = MultipartParser(boundary.encode("latin-1"), collector.callbacks())
        parser.logger = _UNHEARD
        parser.write(body)
        parser.finalize()
    except (FormParserError, UnicodeEncodeError) as error:
        raise InvalidInput(f"the multipart body cannot be read: {error}") from error
    if not collector.ended:
        raise InvalidInput("the multipart body ends before its closing boundary")
    return collector.files


class _Collector:
    """What the parser calls back."""

    def __init__(self) -> None:
        self.files: list[Image] = []
        self.ended = False
        self._parts = -1  # the parser tells of the first like of any other
        self._start_part()

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._start_part,
            "on_part_data": self._take_data,
            "on_part_end": self._end_part,
            "on_header_field": self._take_field,
            "on_header_value": self._take_value,
            "on_header_end": self._end_header,
            "on_end": self._end,
        }

    def _start_part(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise PayloadTooLarge(f"the multipart body has more than {MAX_PARTS:,} parts")
        self._data: list[bytes] = []
        self._headers: dict[str, str] = {}
        self._field = self._value = b""

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _take_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        name = self._field.decode("latin-1").lower()
        self._headers[name] = self._value.decode("utf-8", "replace")
        self._field = self._value = b""

    def _end_part(self) -> None:
        disposition = _parameters("content-disposition", self._headers.get("content-disposition", ""))
        media_type = self._headers.get("content-type", "")
        if "filename" in disposition or media_type.startswith(("image/", "application/octet-stream")):
            self.files.append(Image(b"".join(self._data), disposition.get("filename") or None))

    def _end(self) -> None:
        self.ended = True


def _parameters(header: str, value: str) -> dict[str, str]:
    """The parameters of a MIME header's value, their names in lower case.

    Raises:
        InvalidInput: one is in a charset that cannot be, or numbered beyond all numbers (RFC 2231).
    """
    message = Message()
    message[header] = value.replace("\r", "").replace("\n", "")
    try:
        parameters = message.get_params(header=header, unquote=True) or []
        return {name.lower(): _text(text) for name, text in parameters[1:]}
    except ValueError as error:
        raise InvalidInput(f"the header {header} cannot be read: {error}") from error


def _text(value: str | tuple[str | None, str | None, str]) -> str:
    """A parameter's value; half a surrogate pair, which some charsets can spell, becomes a question mark."""
    return collapse_rfc2231_value(value).encode(errors="replace").decode()
