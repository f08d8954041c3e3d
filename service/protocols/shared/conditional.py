"""Complete responses that a client need not receive again while they are unchanged (RFC 9110, 13.1.2)."""

from __future__ import annotations

import hashlib

from starlette.requests import Request

from .responses import EncodedResponse, RawHeader

ETAG_DIGITS = 32


def etag_of(body: bytes) -> bytes:
    """A strong validator of a body."""
    return b'"%b"' % hashlib.sha256(body).hexdigest()[:ETAG_DIGITS].encode()


def conditional_response(request: Request, body: bytes, etag: bytes, *headers: RawHeader) -> EncodedResponse:
    """The body with its ETag, or 304 without a body if the client has it.

    Args:
        headers: further headers, which the response without a body has too, except the content type.
    """
    tag = (b"etag", etag)
    conditions = [value for name, value in request.scope["headers"] if name == b"if-none-match"]
    if not any(etag in value or value.strip() == b"*" for value in conditions):
        return EncodedResponse(body, *headers, tag)
    unchanged = EncodedResponse(b"", status=304)
    # A Content-Length would be that of the whole response.
    unchanged.raw_headers = [tag, *(each for each in headers if each[0] != b"content-type")]
    return unchanged
