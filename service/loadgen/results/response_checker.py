"""Counts what one generator measured, and checks that the responses are correct."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..clients.http1 import Status

# Returns the labels in a response, one for each image; raises ValueError if the response is invalid.
LabelParser = Callable[[bytes], Sequence[str]]

SUCCESS: frozenset[Status] = frozenset({200, "OK"})
REJECTED: frozenset[Status] = frozenset({429, "RESOURCE_EXHAUSTED"})
# Different bodies that are remembered as correct for one request, so that most need no parsing.
MAX_KNOWN_BODIES = 256


@dataclass(slots=True)
class Tally:
    """Counts requests that were due while the measurement ran. Times are in seconds.

    Attributes:
        latencies: of correct responses.
        rejection_latencies: of responses that rejected the request because of overload.
        send_delays: from the time a request was due until it was sent, open loop only; the generator itself
            adds this if no connection was free or its event loop was busy.
        statuses: the number of responses with each status.
        labels: by number of the request.
        completed: correct responses that arrived during the measurement, whenever the request was sent.
        offered: requests sent, or due, during the measurement.
        lost: connections that broke during a request, and responses that never arrived.
        incorrect: responses that were invalid, or labelled a request differently than an earlier response.
        first_error: a description of the first incorrect response.
        cpu_seconds: CPU time of the generator during the measurement.
    """

    latencies: array[float] = field(default_factory=lambda: array("d"))
    rejection_latencies: array[float] = field(default_factory=lambda: array("d"))
    send_delays: array[float] = field(default_factory=lambda: array("d"))
    statuses: Counter[Status] = field(default_factory=Counter)
    labels: dict[int, Sequence[str]] = field(default_factory=dict)
    completed: int = 0
    offered: int = 0
    lost: int = 0
    incorrect: int = 0
    first_error: str | None = None
    cpu_seconds: float = 0.0

    def add(self, other: Tally) -> None:
        """Add the counts of another generator in the same measurement."""
        self.latencies.extend(other.latencies)
        self.rejection_latencies.extend(other.rejection_latencies)
        self.send_delays.extend(other.send_delays)
        self.statuses += other.statuses
        self.completed += other.completed
        self.offered += other.offered
        self.lost += other.lost
        self.incorrect += other.incorrect
        self.first_error = self.first_error or other.first_error
        self.cpu_seconds += other.cpu_seconds
        for request, labels in other.labels.items():
            if self.labels.setdefault(request, labels) != labels:
                self.count_incorrect(_changed(request, self.labels[request], labels))

    def count_incorrect(self, reason: str) -> None:
        self.incorrect += 1
        self.first_error = self.first_error or reason


class ResponseChecker:
    """Checks that responses are valid and that the same request always gets the same labels."""

    def __init__(self, parse: LabelParser, tally: Tally) -> None:
        self._parse = parse
        self._tally = tally
        self._known: dict[int, set[bytes]] = {}

    def is_correct(self, request: int, body: bytes) -> bool:
        """Check the response to the request of this number, and count it if it is incorrect."""
        known = self._known.setdefault(request, set())
        if body in known:
            return True
        try:
            labels = self._parse(body)
        except ValueError as error:
            self._tally.count_incorrect(f"request {request} got an invalid response: {error}: {body[:200]!r}")
            return False
        first = self._tally.labels.setdefault(request, labels)
        if first != labels:
            self._tally.count_incorrect(_changed(request, first, labels))
            return False
        if len(known) < MAX_KNOWN_BODIES:
            known.add(body)
        return True


def _changed(request: int, first: Sequence[str], later: Sequence[str]) -> str:
    return f"request {request} got the labels {list(first)} first and {list(later)} later"
