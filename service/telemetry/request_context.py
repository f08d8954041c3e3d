"""The trace ids, log fields and stage durations of the current request.

The ids follow W3C Trace Context (https://www.w3.org/TR/trace-context/): a request with a `traceparent` header
continues its trace; any other starts one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
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
        parent_id: the caller's span, if it sent one.
        log_fields: fields of the access log.
        stages: seconds by stage, in order; their sums over the inferences of a stream.
        inferences: number of inferences that have ended, including failed ones.
        failures: number of failed inferences.
        on_stages: called with the stages of each inference when it ends.
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None
    sampled: bool = False
    log_fields: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    inferences: int = 0
    failures: int = 0
    on_stages: Callable[[Mapping[str, float]], None] | None = None

    @classmethod
    def begin(cls, traceparent: str | None) -> RequestContext:
        """Continue the caller's trace, or start one if the header is missing or invalid."""
        given = parse_traceparent(traceparent)
        random = os.urandom(24).hex()  # one system call for both ids
        if given is None:
            return cls(random[16:], random[:16])
        trace_id, parent_id, sampled = given
        return cls(trace_id, random[:16], parent_id, sampled)

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def record(self, log_fields: Mapping[str, Any], stages: Mapping[str, float]) -> None:
        """Record the outcome of an inference request when it ends; it has failed if `stages` is empty."""
        self.log_fields.update(log_fields)
        self.inferences += 1
        self.failures += not stages
        for stage, seconds in stages.items():
            self.stages[stage] = self.stages.get(stage, 0.0) + seconds
        if self.on_stages is not None:
            self.on_stages(stages)


def parse_traceparent(text: str | None) -> tuple[str, str, bool] | None:
    """Trace id, parent id and the sampled flag; None if the text is not a valid traceparent."""
    match = None if text is None else _TRACEPARENT.fullmatch(text)
    if match is None or (match[4] is not None and text is not None and text.startswith("00")):
        return None
    return match[1], match[2], bool(int(match[3], 16) & 1)


# None if neither the access log nor tracing is enabled.
current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)
