"""An account of every request: a line in the log, a span for the collector, the ids of its trace."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...protocols.shared.request_handler import CLIENT_CLOSED_REQUEST
from ...telemetry.logs import ACCESS
from ...telemetry.request_context import RequestContext, current

if TYPE_CHECKING:  # its library is an extra
    from opentelemetry.trace import Span

    from ...telemetry.tracing import Tracing

logger = logging.getLogger(ACCESS)


class AccessLog:
    """Neither bodies nor queries nor headers are told, for pictures and secrets are in them.

    Args:
        log: whether to write a line for each request.
        traces: where spans go; None for nowhere.
    """

    def __init__(self, app: ASGIApp, *, log: bool, traces: Tracing | None) -> None:
        self._app = app
        self._log = log
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
        account, span = self._begin(scope, given.decode("latin-1") or None)
        status, sent = CLIENT_CLOSED_REQUEST, 0

        async def counted(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (b"traceparent", account.traceparent.encode())
                message = {**message, "headers": [*message["headers"], own]}
            else:
                sent += len(message.get("body", b""))
            await send(message)

        started = time.perf_counter()
        token = current.set(account)
        try:
            await self._app(scope, receive, counted)
        finally:
            self._end(scope, account, span, status, sent, time.perf_counter() - started)
            current.reset(token)

    def _begin(self, scope: Scope, traceparent: str | None) -> tuple[RequestContext, Span | None]:
        if self._traces is None:
            return RequestContext.begin(traceparent), None
        return self._traces.begin(f"HTTP {scope['method']}", traceparent)

    def _end(
        self, scope: Scope, account: RequestContext, span: Span | None, status: int, sent: int, seconds: float
    ) -> None:
        path = scope["raw_path"].decode("latin-1")
        log_fields: dict[str, Any] = {"status": status, **account.log_fields}
        if (key := scope.get("convserve.key")) is not None:
            log_fields["key"] = key
        if self._traces is not None and span is not None:
            names = {"http.request.method": scope["method"], "url.path": path}
            ours = {f"convserve.{name}": value for name, value in log_fields.items()}
            ours["http.response.status_code"] = ours.pop("convserve.status")
            self._traces.end(account, span, {**names, **ours}, status)
        if self._log:
            log_fields |= {f"{stage}_ms": round(1e3 * spent, 3) for stage, spent in account.stages.items()}
            client = scope["client"]
            log_fields |= {
                "bytes": sent,
                "ms": round(1e3 * seconds, 3),
                "client": client[0] if client else "",
            }
            logger.info("%s %s", scope["method"], path, extra={"log_fields": log_fields})
