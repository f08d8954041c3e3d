"""Writes a line in the access log and a span for each request, over HTTP and gRPC."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import log_fields
from .logs import access_writer
from .request_context import RequestContext

if TYPE_CHECKING:  # an optional dependency
    from opentelemetry.trace import Span

    from .tracing import Tracing


class RequestLog:
    """Begins a record for each request.

    A record holds neither bodies nor queries nor headers, because they contain images and secrets.

    Args:
        log: whether each request gets a line in the log.
        tracing: exports the spans; None disables tracing.
    """

    def __init__(self, *, log: bool, tracing: Tracing | None) -> None:
        self._write_line = access_writer() if log else None
        self._tracing = tracing

    def begin(self, span_name: str, traceparent: str | None) -> RequestRecord:
        """Start the record of a request; `traceparent` is the header of that name, if it has one."""
        if self._tracing is None:
            return RequestRecord(self, RequestContext.begin(traceparent), None)
        return RequestRecord(self, *self._tracing.begin(span_name, traceparent))

    def write(
        self,
        record: RequestRecord,
        line: str,
        fields: Mapping[str, Any],
        attributes: Mapping[str, Any],
        failed: bool,
    ) -> None:
        context = record.context
        if self._tracing is not None and record.span is not None:
            ours = {f"convserve.{name}": value for name, value in context.log_fields.items()}
            self._tracing.end(record.span, {**attributes, **ours}, failed=failed)
        if self._write_line is not None:
            self._write_line(line, fields)


class RequestRecord:
    """A request in progress.

    Attributes:
        context: the request's trace ids, to which inner layers add log fields and stages.
        bytes_sent: the size of the response's body so far.
    """

    __slots__ = ("_log", "_started", "bytes_sent", "context", "span")

    def __init__(self, log: RequestLog, context: RequestContext, span: Span | None) -> None:
        self.context = context
        self.span = span
        self.bytes_sent = 0
        self._log = log
        self._started = time.perf_counter()

    def rename(self, span_name: str) -> None:
        if self.span is not None:
            self.span.update_name(span_name)

    def end(
        self, line: str, status: int | str, *, client: str, attributes: Mapping[str, Any], failed: bool
    ) -> None:
        """Write the line and end the span.

        Args:
            line: the request's method and path.
            client: the client's address.
            attributes: the span's, besides the fields of the context.
            failed: whether the server is at fault.
        """
        fields: dict[str, Any] = {log_fields.STATUS: status, **self.context.log_fields}
        for stage, spent in self.context.stages.items():
            fields[f"{stage}_ms"] = round(1e3 * spent, 3)
        fields[log_fields.BYTES] = self.bytes_sent
        fields[log_fields.MS] = round(1e3 * (time.perf_counter() - self._started), 3)
        fields[log_fields.CLIENT] = client
        fields[log_fields.TRACE_ID] = self.context.trace_id
        fields[log_fields.SPAN_ID] = self.context.span_id
        self._log.write(self, line, fields, attributes, failed)
