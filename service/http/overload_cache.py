"""RejectionCounters that stand: for as long as a model has no room, who asks the same is refused at the door.

What answers a request leaves in its scope what refuses every other request for the same URL. The connection
keeps it and asks it when the head of such a request is there: before the rest of the server is woken, and
before a byte of the body is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .response_bytes import HeadEncoder, Headers

# The key in a request's scope.
STANDING = "convserve.standing"

# A URL is the client's to choose: no more of them are remembered, and none that is longer.
MAX_URLS = 1024
MAX_URL_LENGTH = 256


class Refusal(Protocol):
    """An answer that is whole."""

    status_code: int
    raw_headers: list[tuple[bytes, bytes]]
    body: bytes


# The refusal of a request with these headers; None where it is no longer refused, or not for its URL alone.
Standing = Callable[[Headers], Refusal | None]


class OverloadCache:
    """What has been refused and would be again, by method and URL as they are sent."""

    def __init__(self, heads: HeadEncoder) -> None:
        self._heads = heads
        self._standing: dict[tuple[bytes, bytes], Standing] = {}

    def remember(self, method: bytes, url: bytes, standing: Standing) -> None:
        if len(url) > MAX_URL_LENGTH:
            return
        if len(self._standing) >= MAX_URLS:
            self._standing.clear()
        self._standing[method, url] = standing

    def answer(self, method: bytes, url: bytes, headers: Headers, default_headers: Headers) -> bytes | None:
        """The whole answer to a request, after which its connection goes on; None where it is let in."""
        standing = self._standing.get((method, url))
        refusal = None if standing is None else standing(headers)
        if refusal is None:
            return None
        return self._heads.head(refusal.status_code, default_headers, refusal.raw_headers) + refusal.body
