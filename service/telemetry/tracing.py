"""Tracing for OpenTelemetry, by OTLP over HTTP: a span a request, and one for each of its stages.

The only importer of opentelemetry's SDK, which is an extra: `convserve[otel]`.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from .. import __version__
from .request_context import RequestContext, parse_traceparent

SERVER_ERROR = 500


class Tracing:
    """Spans, sent by a thread of the SDK's own in bundles.

    Args:
        endpoint: the collector's address, `http://host:4318/v1/traces`.
        ratio: of the requests whose callers have not decided themselves, the share that is traced.
    """

    def __init__(self, endpoint: str, ratio: float) -> None:
        resource = Resource.create({"service.name": "convserve", "service.version": __version__})
        self._provider = TracerProvider(
            resource=resource, sampler=ParentBased(TraceIdRatioBased(ratio)), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
        self._tracer = self._provider.get_tracer("convserve", __version__)

    def begin(self, name: str, traceparent: str | None) -> tuple[RequestContext, Span]:
        """The span of a request, and an account with its ids."""
        given = parse_traceparent(traceparent)
        context, parent_id = None, None
        if given is not None:
            trace_id, parent_id, sampled = given
            flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
            parent = SpanContext(int(trace_id, 16), int(parent_id, 16), is_remote=True, trace_flags=flags)
            context = set_span_in_context(NonRecordingSpan(parent))
        span = self._tracer.start_span(name, context, SpanKind.SERVER)
        own = span.get_span_context()
        account = RequestContext(
            f"{own.trace_id:032x}", f"{own.span_id:016x}", parent_id, own.trace_flags.sampled
        )
        return account, span

    def end(self, account: RequestContext, span: Span, attributes: dict[str, Any], status: int) -> None:
        """Close the span, with a span inside it for each stage."""
        if span.is_recording():
            span.set_attributes(attributes)
            if status >= SERVER_ERROR:
                span.set_status(Status(StatusCode.ERROR))
            self._stages(account, span)
        span.end()

    def close(self) -> None:
        """Send what is left; a collector that does not answer is not waited for."""
        self._provider.shutdown()

    def _stages(self, account: RequestContext, span: Span) -> None:
        """One behind the other, backwards from the end: what lies between them is too short to be told."""
        context = set_span_in_context(span)
        end = account.ended_ns
        for stage, seconds in reversed(account.stages.items()):
            start = end - int(seconds * 1e9)
            self._tracer.start_span(stage, context, start_time=start).end(end)
            end = start
