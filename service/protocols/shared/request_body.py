"""Reads request bodies up to a limit."""

from __future__ import annotations

from io import BytesIO

from starlette.requests import ClientDisconnect, Request

from ...errors import PayloadTooLarge


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, of at most `limit` bytes.

    Raises:
        ClientDisconnect: the client disconnected before the end of the body.
        PayloadTooLarge: the Content-Length exceeds the limit, or more bytes arrive.
    """
    for name, length in request.scope["headers"]:
        if name == b"content-length":
            if length.isdigit() and (len(length) > 18 or int(length) > limit):
                raise _too_large(limit)
            break
    first, more = await _next_part(request)
    if len(first) > limit:
        raise _too_large(limit)
    if not more:
        return first
    # Not a list of parts, because a client may send each byte as a part, nor a bytearray, whose copy as bytes
    # would double the memory.
    body = BytesIO()
    body.write(first)
    while more:
        part, more = await _next_part(request)
        if body.tell() + len(part) > limit:
            raise _too_large(limit)
        body.write(part)
    return body.getvalue()


async def _next_part(request: Request) -> tuple[bytes, bool]:
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect()
    return message.get("body", b""), message.get("more_body", False)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"the body is larger than {limit} bytes (CONVSERVE_MAX_BODY_BYTES)")
