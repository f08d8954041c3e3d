"""The body of a request, read no further than its limit."""

from __future__ import annotations

from starlette.requests import Request

from ..errors import PayloadTooLarge


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, of at most `limit` bytes.

    Raises:
        PayloadTooLarge: by the Content-Length, before anything is read, or as soon as more has come.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 18 or int(length) > limit):
        raise _too_large(limit)
    body = bytearray()  # and no list of chunks, of which a client may send as many as there are bytes
    async for chunk in request.stream():
        if len(body) + len(chunk) > limit:
            raise _too_large(limit)
        body += chunk
    return bytes(body)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"the body is larger than {limit} bytes; the limit is CONVSERVE_MAX_BODY_BYTES")
