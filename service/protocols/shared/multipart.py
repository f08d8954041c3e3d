"""Extracts the files of a multipart/form-data body (RFC 7578) that is already in memory.

It finds the delimiters (RFC 2046, section 5.1.1) with `bytes.find`. An incremental parser calls back for
every header and line of every part, and for a form of small images takes longer than the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...errors import InvalidInput, PayloadTooLarge
from ...imaging.decode_pool import EncodedImage
from .parsing.header_parameters import parse_parameters

# RFC 2046 allows 70.
MAX_BOUNDARY_LENGTH = 256
# The headers of one part. Clients write two or three.
MAX_HEADER_BYTES = 8 * 1024
MAX_HEADERS = 16
# The headers of all parts together.
MAX_FORM_HEADER_BYTES = 1024 * 1024
# A file that contains lines which begin like the boundary is legitimate; each costs as much as a part.
MAX_FALSE_BOUNDARIES = 1000
# A form up to this size is read at once if it has few lines: at most two milliseconds.
INLINE_FORM_BYTES = 64 * 1024
COST_PER_LINE = 40
# A search holds the interpreter for its whole length, up to 7 ns a byte for a boundary that nearly matches.
SEARCH_BYTES = 2 * 1024 * 1024

# After a boundary: the end of the body, or white space up to the end of the line.
_REST_OF_LINE = re.compile(rb"--|[ \t]{0,100}+\r\n")
_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Nearly every client writes this form, for which the general parser takes three times as long.
_USUAL_DISPOSITION = re.compile(r'form-data; ?name="[^"\\]*"(?:; ?filename="([^"\\]*)")?', re.IGNORECASE)


def read_files(content_type: str, body: bytes, max_parts: int) -> list[EncodedImage]:
    """The parts with a file name or an image media type, in order.

    Raises:
        InvalidInput: the boundary is missing, or the body does not match it.
        PayloadTooLarge: more than `max_parts` parts, or too many bytes of headers.
    """
    boundary = parse_parameters("content-type", content_type).get("boundary")
    if not boundary:
        raise InvalidInput("Content-Type multipart/form-data has no boundary")
    files: list[EncodedImage] = []
    header_bytes = 0
    for count, (start, end) in enumerate(_parts(body, _delimiter(boundary))):
        if count >= max_parts:
            raise PayloadTooLarge(
                f"the multipart body has more than {max_parts:,} parts (CONVSERVE_MAX_PARTS)"
            )
        headers, content = _headers(body, start, end)
        header_bytes += content - start
        if header_bytes > MAX_FORM_HEADER_BYTES:
            raise PayloadTooLarge(
                f"the headers of the form's parts have more than {MAX_FORM_HEADER_BYTES:,} bytes"
            )
        filename = _filename(headers.get(b"content-disposition", ""))
        media_type = headers.get(b"content-type", "")
        if filename is not None or media_type.startswith(("image/", "application/octet-stream")):
            files.append(EncodedImage(body[content:end], filename or None))
    return files


def text_size(body: bytes) -> int:
    """The size of a text that takes as long to read as a form, which is known by its lines."""
    return len(body) if len(body) > INLINE_FORM_BYTES else COST_PER_LINE * body.count(b"\r\n")


def _filename(disposition: str) -> str | None:
    """The file name of a part; None if it has none."""
    usual = _USUAL_DISPOSITION.fullmatch(disposition)
    filename: str | None = (
        usual[1] if usual else parse_parameters("content-disposition", disposition).get("filename")
    )
    # Browsers, and curl since 7.81, write a quote as %22 and escape nothing else but line breaks.
    return filename and filename.replace("%22", '"')


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
    false_boundaries = 0
    # The first delimiter may be at the very start of the body, without a line break before it.
    found = -2 if body.startswith(delimiter[2:]) else _find(body, delimiter, 0)
    while found != -1:
        after = found + len(delimiter)
        line = _REST_OF_LINE.match(body, after)
        if line is None:  # a longer string that begins like the boundary
            false_boundaries += 1
            if false_boundaries > MAX_FALSE_BOUNDARIES:
                raise _unreadable("too many of its lines begin like the boundary")
        else:
            if start is not None:
                yield start, max(found, start)
            if line[0] == b"--":
                return
            # The end of this line may be the start of the next delimiter.
            start, after = line.end(), line.end() - 2
        found = _find(body, delimiter, after)
    if start is None and body:
        raise _unreadable("the boundary does not occur in it")
    raise InvalidInput("the multipart body ends before its closing boundary")


def _find(body: bytes, delimiter: bytes, start: int) -> int:
    """`body.find(delimiter, start)` in several steps, between which other threads can run."""
    for position in range(start, len(body), SEARCH_BYTES):
        found = body.find(delimiter, position, position + SEARCH_BYTES + len(delimiter) - 1)
        if found != -1:
            return found
    return -1


def _headers(body: bytes, start: int, end: int) -> tuple[dict[bytes, str], int]:
    """A part's headers, by lower-case name, and the start of its content."""
    if body.startswith(b"\r\n", start, end):
        return {}, start + 2
    headers_end = body.find(b"\r\n\r\n", start, min(end, start + MAX_HEADER_BYTES))
    if headers_end == -1:
        raise _unreadable("the headers of a part do not end")
    headers: dict[bytes, str] = {}
    lines = body[start:headers_end].split(b"\r\n", MAX_HEADERS)
    if len(lines) > MAX_HEADERS:
        raise _unreadable(f"a part has more than {MAX_HEADERS} headers")
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or _HEADER_NAME.fullmatch(name) is None:
            raise _unreadable("a part has a malformed header")
        headers[name.lower()] = value.strip(b" \t").decode("utf-8", "replace")
    return headers, headers_end + 4


def _unreadable(reason: str) -> InvalidInput:
    return InvalidInput(f"malformed multipart body: {reason}")
