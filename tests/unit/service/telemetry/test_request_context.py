from __future__ import annotations

import pytest

from service.telemetry.request_context import RequestContext, parse_traceparent

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_begin_continues_the_callers_trace() -> None:
    context = RequestContext.begin(f"00-{TRACE}-{PARENT}-01")
    assert (context.trace_id, context.parent_id, context.sampled) == (TRACE, PARENT, True)
    assert context.span_id != PARENT
    assert context.traceparent == f"00-{TRACE}-{context.span_id}-01"


def test_later_version_of_traceparent_may_be_longer() -> None:
    assert parse_traceparent(f"cc-{TRACE}-{PARENT}-00-more-fields") == (TRACE, PARENT, False)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01\n",
    ],
)
def test_begin_starts_a_trace_without_a_valid_traceparent(text: str | None) -> None:
    context = RequestContext.begin(text)
    assert context.parent_id is None
    assert context.trace_id not in (TRACE, "0" * 32)
    assert parse_traceparent(context.traceparent) == (context.trace_id, context.span_id, False)
