"""Compresses and decompresses bodies with gzip or deflate (RFC 9110, section 8.4.1)."""

from __future__ import annotations

import re
import zlib

from ...errors import InvalidInput, PayloadTooLarge, UnsupportedContent, shown

# zlib's window bits: 31 is gzip, 15 is what HTTP calls deflate.
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_OFFERED = ("gzip", "deflate")
# A weight of 0 (RFC 9110, section 12.4.2).
_FORBIDDEN = re.compile(r"q\s*=\s*0(\.0*)?", re.IGNORECASE)
# Real headers have fewer characters; one with thousands of elements is not worth reading.
MAX_ACCEPTED_LENGTH = 1024
# Compressing a smaller response takes longer than sending it.
MIN_COMPRESSED_BYTES = 16 * 1024


def decompress(body: bytes, coding: str, limit: int) -> bytes:
    """The decompressed body, of at most `limit` bytes.

    Raises:
        UnsupportedContent: the coding is not gzip, deflate or identity.
        InvalidInput: the body is not in that coding, or truncated.
        PayloadTooLarge: the output exceeds `limit` bytes; decompression stops there.
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in _WINDOWS:
        raise UnsupportedContent(
            f"Content-Encoding {shown(coding)} is not supported; send gzip, deflate or identity"
        )
    inflater = zlib.decompressobj(_WINDOWS[name])
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidInput(f"the body is not valid {name}: {error}") from error
    if len(plain) > limit:
        raise PayloadTooLarge(
            f"the decompressed body is larger than {limit} bytes (CONVSERVE_MAX_BODY_BYTES)"
        )
    if not inflater.eof or inflater.unused_data:
        raise InvalidInput(f"the body is not exactly one {name} stream")
    return plain


def compress(body: bytes, accepted: str) -> tuple[bytes, str | None]:
    """Compress a body with the first supported coding of an Accept-Encoding header.

    Returns:
        The body and the coding's name; the unchanged body and None if it is small or no coding matches.
    """
    if len(body) < MIN_COMPRESSED_BYTES or len(accepted) > MAX_ACCEPTED_LENGTH:
        return body, None
    name = next((name for name in map(_accepted_name, accepted.split(",")) if name in _OFFERED), None)
    if name is None:
        return body, None
    deflater = zlib.compressobj(level=1, wbits=_WINDOWS[name])
    return deflater.compress(body) + deflater.flush(), name


def _accepted_name(part: str) -> str | None:
    """The coding of one element of Accept-Encoding; None if its weight is 0."""
    name, _, weight = part.partition(";")
    return None if _FORBIDDEN.fullmatch(weight.strip()) else name.strip().lower()
