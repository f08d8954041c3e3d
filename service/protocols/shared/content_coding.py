"""Bodies compressed with gzip or deflate (RFC 9110, section 8.4.1), both ways and within limits."""

from __future__ import annotations

import re
import zlib

from ...errors import InvalidInput, PayloadTooLarge, UnsupportedContent

# zlib's window bits: 31 reads and writes gzip, 15 what HTTP calls deflate.
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_ANSWERS = ("gzip", "deflate")
# RFC 9110, section 12.4.2: a weight of nothing.
_FORBIDDEN = re.compile(r"q\s*=\s*0(\.0*)?", re.IGNORECASE)
# An answer smaller than this is sent sooner than it is compressed.
SMALL = 16 * 1024


def decompress(body: bytes, coding: str, limit: int) -> bytes:
    """The body plain, of at most `limit` bytes.

    Raises:
        UnsupportedContent: a coding other than gzip, deflate and identity.
        InvalidInput: not in that coding, or cut off.
        PayloadTooLarge: more than `limit` bytes come out; no more than that is ever held.
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in _WINDOWS:
        raise UnsupportedContent(f"the Content-Encoding {coding!r} is not taken; send gzip, deflate or plain")
    inflater = zlib.decompressobj(_WINDOWS[name])
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidInput(f"the body is not in the Content-Encoding {coding!r}: {error}") from error
    if len(plain) > limit:
        raise PayloadTooLarge(
            f"the body is larger than {limit} bytes once decompressed; the limit is CONVSERVE_MAX_BODY_BYTES"
        )
    if not inflater.eof or inflater.unused_data:
        raise InvalidInput(f"the body is not one whole stream of the Content-Encoding {coding!r}")
    return plain


def compress(body: bytes, accepted: str) -> tuple[bytes, str | None]:
    """The body in the first coding of an Accept-Encoding header that is known here, and that coding's name.

    Small bodies stay as they are.
    """
    if len(body) < SMALL:
        return body, None
    name = next((name for name in map(_accepted_name, accepted.split(",")) if name in _ANSWERS), None)
    if name is None:
        return body, None
    deflater = zlib.compressobj(level=1, wbits=_WINDOWS[name])
    return deflater.compress(body) + deflater.flush(), name


def _accepted_name(part: str) -> str | None:
    """The coding that a part of an Accept-Encoding header names; None if its weight forbids it."""
    name, _, weight = part.partition(";")
    return None if _FORBIDDEN.fullmatch(weight.strip()) else name.strip().lower()
