"""A refusal on a connection's own level, where no application is there to word it."""

from __future__ import annotations

import http
import json

from ..telemetry.rejections import RejectionReason


class ProtocolError(Exception):
    """Raised in the callbacks of a parser, which it leads out of the parser."""

    def __init__(self, status: int, reason: RejectionReason, sentence: str) -> None:
        super().__init__(sentence)
        self.status = http.HTTPStatus(status)
        self.reason = reason

    def as_http(self) -> bytes:
        """The whole answer, after which the connection is closed."""
        content = json.dumps({"error": str(self)}).encode()
        fields = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            "content-type: application/json",
            f"content-length: {len(content)}",
            "connection: close",
            *(["retry-after: 1"] if self.status in (429, 503) else []),
        ]
        return "\r\n".join([*fields, "", ""]).encode() + content
