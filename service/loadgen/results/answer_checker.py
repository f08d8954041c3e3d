"""What one generator has counted, and whether the answers were right."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..clients.http1 import Status

# The labels in an answer, one a picture; a ValueError says that it is not a valid answer.
Reader = Callable[[bytes], Sequence[str]]

ANSWERED: frozenset[Status] = frozenset({200, "OK"})
REFUSED: frozenset[Status] = frozenset({429, "RESOURCE_EXHAUSTED"})
# So many different bodies are remembered as right for one request, so that most need not be read again.
REMEMBERED = 256


@dataclass(slots=True)
class Tally:
    """Latencies in seconds, of requests that were due while the window was open.

    Attributes:
        completed: right answers that came while it was open, whenever they had been asked for.
        statuses: how often each was answered.
        lost: connections that broke under a request, and answers that never came.
        wrong: answers that were not valid, or labelled the same request otherwise than before.
        complaint: the first of those, in words.
        labels: by number of the request.
        late: seconds between the moment a request was due and the one it was sent, open loop only; what the
            generator itself adds where no connection was free or the loop was busy.
        cpu_seconds: the generator's own, while the window was open.
    """

    answered: array[float] = field(default_factory=lambda: array("d"))
    refused: array[float] = field(default_factory=lambda: array("d"))
    late: array[float] = field(default_factory=lambda: array("d"))
    statuses: Counter[Status] = field(default_factory=Counter)
    labels: dict[int, Sequence[str]] = field(default_factory=dict)
    completed: int = 0
    offered: int = 0
    lost: int = 0
    wrong: int = 0
    complaint: str | None = None
    cpu_seconds: float = 0.0

    def add(self, other: Tally) -> None:
        """What another generator counted in the same window."""
        self.answered.extend(other.answered)
        self.refused.extend(other.refused)
        self.late.extend(other.late)
        self.statuses += other.statuses
        self.completed += other.completed
        self.offered += other.offered
        self.lost += other.lost
        self.wrong += other.wrong
        self.complaint = self.complaint or other.complaint
        self.cpu_seconds += other.cpu_seconds
        for request, labels in other.labels.items():
            if self.labels.setdefault(request, labels) != labels:
                self.wrong += 1
                self.complaint = self.complaint or _changed(request, self.labels[request], labels)


class Checker:
    """Tells whether answers are valid and label the same request always alike."""

    def __init__(self, read: Reader, tally: Tally) -> None:
        self._read = read
        self._tally = tally
        self._right: dict[int, set[bytes]] = {}

    def is_right(self, request: int, body: bytes) -> bool:
        right = self._right.setdefault(request, set())
        if body in right:
            return True
        try:
            labels = self._read(body)
        except ValueError as error:
            return self._complain(f"request {request} got an answer that is none: {error}: {body[:200]!r}")
        first = self._tally.labels.setdefault(request, labels)
        if first != labels:
            return self._complain(_changed(request, first, labels))
        if len(right) < REMEMBERED:
            right.add(body)
        return True

    def _complain(self, text: str) -> bool:
        self._tally.wrong += 1
        self._tally.complaint = self._tally.complaint or text
        return False


def _changed(request: int, first: Sequence[str], then: Sequence[str]) -> str:
    return f"request {request} was first answered {list(first)} and then {list(then)}"
