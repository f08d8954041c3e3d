"""Records each HTTP request: a line in the log, a span, and the ids of its trace in the response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...protocols.shared.request_handler import disconnected_status
from ...telemetry.request_context import current
from ...telemetry.request_log import RequestLog

SERVER_ERROR = 500


class AccessLog:
    def __init__(self, app: ASGIApp, request_log: RequestLog) -> None:
        self._app = app
        self._request_log = request_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["raw_path"].decode("latin-1")
        traceparent = None
        for name, value in scope["headers"]:
            if name == b"traceparent":
                traceparent = value.decode("latin-1")
                break
        record = self._request_log.begin(f"HTTP {method}", traceparent)
        status = 0

        async def send_recorded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (b"traceparent", record.context.traceparent.encode())
                message["headers"] = [*message["headers"], own]
            else:
                record.bytes_sent += len(message.get("body", b""))
            await send(message)

        token = current.set(record.context)
        try:
            await self._app(scope, receive, send_recorded)
        finally:
            status = status or disconnected_status(scope)
            record.end(
                f"{method} {path}",
                status,
                client=scope["client"][0] if scope["client"] else "",
                attributes=_attributes(method, path, status) if record.span is not None else {},
                failed=status >= SERVER_ERROR,
            )
            current.reset(token)


def _attributes(method: str, path: str, status: int) -> Mapping[str, Any]:
    return {"http.request.method": method, "url.path": path, "http.response.status_code": status}
