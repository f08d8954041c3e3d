"""Extracts the files of a multipart/form-data body (RFC 7578) that is already in memory.

It finds the delimiters (RFC 2046, section 5.1.1) with `bytes.find`. An incremental parser calls back for
every header and line of every part, and for a form of small images takes longer than the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message
from email.utils import collapse_rfc2231_value

from ...errors import InvalidInput, PayloadTooLarge
from ...imaging.decode_pool import EncodedImage

# RFC 2046 allows 70.
MAX_BOUNDARY_LENGTH = 256
MAX_HEADER_BYTES = 16 * 1024

# After a boundary: the end of the body, or white space up to the end of the line.
_REST_OF_LINE = re.compile(rb"--|[ \t]*\r\n")
_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Nearly every client writes this form. The standard library, which parses any other, takes ten times as long.
_USUAL_DISPOSITION = re.compile(r'form-data; ?name="[^"\\]*"(?:; ?filename="([^"\\]*)")?', re.IGNORECASE)


def read_files(content_type: str, body: bytes, max_parts: int) -> list[EncodedImage]:
    """The parts with a file name or an image media type, in order.

    Raises:
        InvalidInput: the boundary is missing, or the body does not match it.
        PayloadTooLarge: more than `max_parts` parts.
    """
    boundary = _parameters("content-type", content_type).get("boundary")
    if not boundary:
        raise InvalidInput("Content-Type multipart/form-data has no boundary")
    files: list[EncodedImage] = []
    for count, (start, end) in enumerate(_parts(body, _delimiter(boundary))):
        if count >= max_parts:
            raise PayloadTooLarge(
                f"the multipart body has more than {max_parts:,} parts (CONVSERVE_MAX_PARTS)"
            )
        headers, start = _headers(body, start, end)
        disposition = headers.get(b"content-disposition", "")
        usual = _USUAL_DISPOSITION.fullmatch(disposition)
        named = {"filename": usual[1]} if usual else _parameters("content-disposition", disposition)
        filename = named.get("filename")
        media_type = headers.get(b"content-type", "")
        if filename is not None or media_type.startswith(("image/", "application/octet-stream")):
            files.append(EncodedImage(body[start:end], filename or None))
    return files


def _delimiter(boundary: str) -> bytes:
    try:
        encoded = boundary.encode("latin-1")
    except UnicodeEncodeError as error:
        raise _unreadable("the boundary is not ASCII") from error
    if len(encoded) > MAX_BOUNDARY_LENGTH:
        raise _unreadable(f"the boundary has more than {MAX_BOUNDARY_LENGTH} characters")
    return b"\r\n--" + encoded


def _parts(body: bytes, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """The start and end of each part, with its headers; the preamble and the epilogue are skipped."""
    start: int | None = None
    # The first delimiter may be at the very start of the body, without a line break before it.
    found = -2 if body.startswith(delimiter[2:]) else body.find(delimiter)
    while found != -1:
        after = found + len(delimiter)
        line = _REST_OF_LINE.match(body, after)
        if line is not None:  # otherwise a longer string that begins like the boundary
            if start is not None:
                yield start, max(found, start)
            if line[0] == b"--":
                return
            # The end of this line may be the start of the next delimiter.
            start, after = line.end(), line.end() - 2
        found = body.find(delimiter, after)
    if start is None and body:
        raise _unreadable("the boundary does not occur in it")
    raise InvalidInput("the multipart body ends before its closing boundary")


def _headers(body: bytes, start: int, end: int) -> tuple[dict[bytes, str], int]:
    """A part's headers, by lower-case name, and the start of its content."""
    if body.startswith(b"\r\n", start, end):
        return {}, start + 2
    headers_end = body.find(b"\r\n\r\n", start, min(end, start + MAX_HEADER_BYTES))
    if headers_end == -1:
        raise _unreadable("the headers of a part do not end")
    headers: dict[bytes, str] = {}
    for line in body[start:headers_end].split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon or _HEADER_NAME.fullmatch(name) is None:
            raise _unreadable("a part has a malformed header")
        headers[name.lower()] = value.strip(b" \t").decode("utf-8", "replace")
    return headers, headers_end + 4


def _unreadable(reason: str) -> InvalidInput:
    return InvalidInput(f"malformed multipart body: {reason}")


def _parameters(header: str, value: str) -> dict[str, str]:
    """The parameters of a MIME header, by lower-case name.

    Raises:
        InvalidInput: a parameter has an unknown charset or an invalid number (RFC 2231).
    """
    message = Message()
    message[header] = value.replace("\r", "").replace("\n", "")
    try:
        parameters = message.get_params(header=header, unquote=True) or []
        return {name.lower(): _text(text) for name, text in parameters[1:]}
    except ValueError as error:
        raise InvalidInput(f"malformed header {header}: {error}") from error


def _text(value: str | tuple[str | None, str | None, str]) -> str:
    """A parameter's value; a lone surrogate, which some charsets can encode, becomes a question mark."""
    return collapse_rfc2231_value(value).encode(errors="replace").decode()
