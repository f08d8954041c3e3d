"""Counts connections and requests that are rejected before they reach a model, by reason."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class RejectionReason(StrEnum):
    """The label `reason` of convserve_connection_rejections_total."""

    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    TOO_MANY_OF_ADDRESS = "too_many_of_address"
    EVICTED = "evicted"
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_RESETS = "too_many_resets"
    MALFORMED = "malformed"
    LARGE_HEAD = "large_head"
    SLOW_HANDSHAKE = "slow_handshake"
    SLOW_HEAD = "slow_head"
    SLOW_BODY = "slow_body"
    SLOW_READER = "slow_reader"


class _Count(Protocol):
    def inc(self) -> None: ...


class _Counter(Protocol):
    def labels(self, reason: str, /) -> _Count: ...


class RejectionCounters:
    """Counters by reason; `counter` has the label `reason` only."""

    def __init__(self, counter: _Counter) -> None:
        self._counts = {reason: counter.labels(reason.value) for reason in RejectionReason}

    def count(self, reason: RejectionReason) -> None:
        self._counts[reason].inc()
