"""One caller's rows on their way through one or more batches, and a batch of several callers' rows."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DeadlineExceeded

Rows = NDArray[np.uint8 | np.float32]
Scores = NDArray[np.float32]


class Answer(NamedTuple):
    """One caller's rows, with the time they waited and the time their batches ran, in seconds."""

    scores: Scores
    queue_seconds: float
    compute_seconds: float


class PendingRequest:
    """Rows and the future that is to hold their answer; `deadline` is in the event loop's time."""

    __slots__ = ("compute_seconds", "deadline", "future", "pieces", "rows", "since", "started", "taken")

    def __init__(self, rows: Rows, future: asyncio.Future[Answer], deadline: float) -> None:
        self.rows = rows
        self.future = future
        self.deadline = deadline
        self.since = time.perf_counter()
        self.started = 0.0
        self.taken = 0
        self.pieces: list[Scores] = []
        self.compute_seconds = 0.0

    def take(self, room: int, now: float) -> Rows:
        """The next rows, at most `room` of them."""
        if self.taken == 0:
            self.started = now
            if len(self.rows) <= room:
                self.taken = len(self.rows)
                return self.rows
        piece = self.rows[self.taken : self.taken + room]
        self.taken += len(piece)
        return piece

    def set_result(self, scores: Scores, seconds: float) -> None:
        """The scores of the rows that were taken last; when they are the last of all, the answer."""
        self.compute_seconds += seconds
        if len(scores) < len(self.rows):
            self.pieces.append(scores)
            if sum(map(len, self.pieces)) < len(self.rows):
                return
            scores = np.concatenate(self.pieces)
        if not self.future.done():
            self.future.set_result(Answer(scores, self.started - self.since, self.compute_seconds))

    def set_exception(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def expire(self) -> None:
        self.set_exception(DeadlineExceeded("the deadline passed before the answer was there"))


class Batch:
    """Rows of several waiters, side by side."""

    __slots__ = ("parts", "requests")

    def __init__(self) -> None:
        self.requests: list[PendingRequest] = []
        self.parts: list[Rows] = []

    def set_result(self, scores: Scores, seconds: float) -> None:
        if len(self.requests) == 1:
            self.requests[0].set_result(scores, seconds)
            return
        start = 0
        for request, part in zip(self.requests, self.parts, strict=True):
            request.set_result(scores[start : start + len(part)], seconds)
            start += len(part)
