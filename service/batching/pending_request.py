"""Pending requests, batches of their rows, and the timer of their deadlines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DeadlineExceeded

Rows = NDArray[np.uint8 | np.float32]
Scores = NDArray[np.float32]

NEVER = float("inf")
# Scores of a batch that are larger are copied for each request: otherwise one request whose response is not
# read would hold the scores of the others.
MAX_SHARED_BYTES = 64 * 1024
# libuv's clock counts milliseconds, so its timers may fire this much too early.
TIMER_RESOLUTION = 1e-3


class RequestResult(NamedTuple):
    """The scores of one request; the seconds that its rows waited and that their batches ran."""

    scores: Scores
    queue_seconds: float
    compute_seconds: float


class PendingRequest:
    """The rows of one request and the future of its result; `deadline` is in the event loop's time."""

    __slots__ = (
        "compute_seconds",
        "deadline",
        "future",
        "rows",
        "rows_taken",
        "score_parts",
        "started",
        "submitted",
    )

    def __init__(self, rows: Rows, future: asyncio.Future[RequestResult], deadline: float) -> None:
        self.rows = rows
        self.future = future
        self.deadline = deadline
        self.submitted = time.perf_counter()
        self.started = 0.0
        self.rows_taken = 0
        self.score_parts: list[Scores] = []
        self.compute_seconds = 0.0

    def take(self, room: int, now: float) -> Rows:
        """The next rows, at most `room` of them; `now` is the time of `perf_counter`."""
        if self.rows_taken == 0:
            self.started = now
            if len(self.rows) <= room:
                self.rows_taken = len(self.rows)
                return self.rows
        part = self.rows[self.rows_taken : self.rows_taken + room]
        self.rows_taken += len(part)
        return part

    def skip(self) -> int:
        """Skip the rows that no batch has taken; returns their number."""
        skipped = len(self.rows) - self.rows_taken
        self.rows_taken = len(self.rows)
        return skipped

    def set_result(self, scores: Scores, seconds: float) -> None:
        """Add the scores of the rows taken last; the future is done when no rows remain."""
        self.compute_seconds += seconds
        if len(scores) < len(self.rows):
            self.score_parts.append(scores)
            if sum(map(len, self.score_parts)) < len(self.rows):
                return
            scores = np.concatenate(self.score_parts)
        if not self.future.done():
            self.future.set_result(RequestResult(scores, self.started - self.submitted, self.compute_seconds))

    def set_exception(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def expire(self) -> None:
        self.set_exception(DeadlineExceeded("the deadline passed before the response was ready"))


class Batch:
    """Rows of several requests for one run; or, with `background`, of one that no others wait behind."""

    __slots__ = ("background", "parts", "requests")

    def __init__(self) -> None:
        self.background = False
        self.requests: list[PendingRequest] = []
        self.parts: list[Rows] = []

    def set_result(self, scores: Scores, seconds: float) -> None:
        """Set the result of each request to the scores of its own rows."""
        if len(self.requests) == 1:
            self.requests[0].set_result(scores, seconds)
            return
        large = scores.nbytes > MAX_SHARED_BYTES
        start = 0
        for request, part in zip(self.requests, self.parts, strict=True):
            own = scores[start : start + len(part)]
            request.set_result(own.copy() if large else own, seconds)
            start += len(part)


class DeadlineTimer:
    """Expires pending requests with a single timer, set to the earliest deadline.

    Requests mostly arrive in the order of their deadlines, so the timer rarely has to be moved.

    Args:
        pending: returns the requests without a result.

    Attributes:
        nearest: the time the timer is set to, in the event loop's time; `NEVER` if it is not set.
    """

    def __init__(self, pending: Callable[[], Iterable[PendingRequest]]) -> None:
        self._pending = pending
        self._timer: asyncio.TimerHandle | None = None
        self.nearest = NEVER

    def watch(self, deadline: float) -> None:
        """Set the timer to a deadline that is earlier than all others."""
        self.close()
        self.nearest = deadline
        self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        self._timer, self.nearest = None, NEVER
        now = asyncio.get_running_loop().time()
        for request in self._pending():
            if request.deadline <= now + TIMER_RESOLUTION:
                request.expire()
        nearest = min((request.deadline for request in self._pending()), default=NEVER)
        if nearest < NEVER:
            self.watch(nearest)
