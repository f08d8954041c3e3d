"""OpenTelemetry traces over OTLP/HTTP: a span for each request and each of its stages.

Only this module imports the SDK of OpenTelemetry, which is the extra `convserve[otel]`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
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


class Tracing:
    """Starts and ends spans; a thread of the SDK sends them in batches.

    Args:
        endpoint: URL of the collector, `http://host:4318/v1/traces`.
        ratio: share of requests that is traced if the caller's `traceparent` does not decide.
    """

    def __init__(self, endpoint: str, ratio: float) -> None:
        resource = Resource.create({"service.name": "convserve", "service.version": __version__})
        self._provider = TracerProvider(
            resource=resource, sampler=ParentBased(TraceIdRatioBased(ratio)), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
        self._tracer = self._provider.get_tracer("convserve", __version__)

    def begin(self, name: str, traceparent: str | None) -> tuple[RequestContext, Span]:
        """Start the span of a request, and create a context with its ids."""
        given = parse_traceparent(traceparent)
        parent_context, parent_id = None, None
        if given is not None:
            trace_id, parent_id, sampled = given
            flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
            parent = SpanContext(int(trace_id, 16), int(parent_id, 16), is_remote=True, trace_flags=flags)
            parent_context = set_span_in_context(NonRecordingSpan(parent))
        span = self._tracer.start_span(name, parent_context, SpanKind.SERVER)
        own = span.get_span_context()
        context = RequestContext(
            f"{own.trace_id:032x}", f"{own.span_id:016x}", parent_id, own.trace_flags.sampled
        )
        if span.is_recording():
            context.on_stages = partial(self._add_stages, span)
        return context, span

    def end(self, span: Span, attributes: Mapping[str, Any], *, failed: bool) -> None:
        """End the span, as an error if the server failed."""
        span.set_attributes(attributes)
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def close(self) -> None:
        """Send the remaining spans, without waiting for a collector that does not respond."""
        self._provider.shutdown()

    def _add_stages(self, span: Span, stages: Mapping[str, float]) -> None:
        """Add the stages one after the other, backwards from now; gaps between them are negligible."""
        parent_context = set_span_in_context(span)
        end = time.time_ns()
        for stage, seconds in reversed(list(stages.items())):
            start = end - int(seconds * 1e9)
            self._tracer.start_span(stage, parent_context, start_time=start).end(end)
            end = start
