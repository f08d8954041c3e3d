from __future__ import annotations

import pytest

from service.telemetry.request_context import RequestContext, parse_traceparent

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_trace_that_comes_is_gone_on_with() -> None:
    account = RequestContext.begin(f"00-{TRACE}-{PARENT}-01")
    assert (account.trace_id, account.parent_id, account.sampled) == (TRACE, PARENT, True)
    assert account.span_id != PARENT
    assert account.traceparent == f"00-{TRACE}-{account.span_id}-01"


def test_a_later_version_may_say_more() -> None:
    assert parse_traceparent(f"cc-{TRACE}-{PARENT}-00-what-the-future-will-be-like") == (TRACE, PARENT, False)


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
def test_anything_else_begins_another(text: str | None) -> None:
    account = RequestContext.begin(text)
    assert account.parent_id is None
    assert account.trace_id not in (TRACE, "0" * 32)
    assert parse_traceparent(account.traceparent) == (account.trace_id, account.span_id, False)
