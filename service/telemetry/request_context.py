"""What is told of one request, in the log and in traces: the account that its context carries along.

The ids are those of W3C Trace Context (https://www.w3.org/TR/trace-context/): a request that comes with a
`traceparent` goes on with its trace, another begins one.
"""

from __future__ import annotations

import re
import secrets
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)


@dataclass(slots=True)
class RequestContext:
    """
    Attributes:
        parent_id: the caller's span, where it named one.
        told: what the layers below the door have learnt.
        stages: seconds by stage, in their order, the last of which ended at `ended_ns` by the wall clock.
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None
    sampled: bool = False
    log_fields: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    ended_ns: int = 0

    @classmethod
    def begin(cls, traceparent: str | None) -> RequestContext:
        """One that continues the caller's trace, or begins another where that is missing or no such thing."""
        given = parse_traceparent(traceparent)
        span_id = secrets.token_hex(8)
        if given is None:
            return cls(secrets.token_hex(16), span_id)
        trace_id, parent_id, sampled = given
        return cls(trace_id, span_id, parent_id, sampled)

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def note(self, log_fields: dict[str, Any], stages: dict[str, float]) -> None:
        """What came of a request for inference, which ends now."""
        self.log_fields.update(log_fields)
        self.stages = stages
        self.ended_ns = time.time_ns()


def parse_traceparent(text: str | None) -> tuple[str, str, bool] | None:
    """Trace, parent and whether it is sampled; None for what is no traceparent."""
    match = None if text is None else _TRACEPARENT.fullmatch(text)
    if match is None or (match[4] is not None and text is not None and text.startswith("00")):
        return None
    return match[1], match[2], bool(int(match[3], 16) & 1)


# The account of the request that this context is about; None where nobody keeps any.
current: ContextVar[RequestContext | None] = ContextVar("account", default=None)
