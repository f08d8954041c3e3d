"""Rejects requests to an overloaded URL in the protocol layer.

After the first 429 for a URL, later requests to it are rejected with the same response as soon as their head
has arrived, for as long as the model has no room: the application does not run, and no body is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .response_bytes import Headers
from .scope_extensions import OVERLOAD_RESPONDER

# Clients choose the URLs, so their number and length are bounded.
MAX_URLS = 1024
MAX_URL_LENGTH = 256


class Response(Protocol):
    """A complete response."""

    status_code: int
    raw_headers: list[tuple[bytes, bytes]]
    body: bytes


# Called with a request's headers. Returns None if the application has to handle the request.
Responder = Callable[[Headers], Response | None]


class OverloadCache:
    """The responders of recently rejected requests.

    Attributes:
        responders: the responders by method and URL as sent.
    """

    def __init__(self) -> None:
        self.responders: dict[tuple[bytes, bytes], Responder] = {}

    def add(self, method: bytes, url: bytes, responder: Responder) -> None:
        if len(url) > MAX_URL_LENGTH:
            return
        if len(self.responders) >= MAX_URLS:
            self.responders.clear()
        self.responders[method, url] = responder

    def add_request(self, scope: Mapping[str, Any]) -> None:
        """Reject later requests to the URL of this one with the responder that the application has set."""
        query = scope["query_string"]
        url = scope["raw_path"] + (b"?" + query if query else b"")
        self.add(scope["method"].encode(), url, scope[OVERLOAD_RESPONDER])

    def find(self, method: bytes, url: bytes, headers: Headers) -> Response | None:
        """The response that rejects a request; None if the application has to handle it."""
        responder = self.responders.get((method, url))
        return None if responder is None else responder(headers)
