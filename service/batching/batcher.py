"""Dynamic batching: combines the rows of many requests into batches for one engine.

A batch starts when the engine is free, and takes the waiting rows up to `max_batch_size`. An idle engine does
not wait for rows that may not arrive, unless `max_queue_delay` is set; under load batches grow while the
engine runs. A slow engine also waits briefly for rows that are expected; see `BatchWindow`.

Rows of the background, such as those of explanations, run while no others wait.

No background task can fail unnoticed: every step is a callback of the event loop, and its outermost block
completes all requests of its batch, whatever exception is raised.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from itertools import chain

import numpy as np

from ..errors import DeadlineExceeded, InferenceFailed, ModelNotReady
from .batch_window import BatchWindow
from .pending_request import NEVER, Batch, DeadlineTimer, PendingRequest, RequestResult, Rows, Scores

Run = Callable[[Rows], Scores]
Concat = Callable[[Sequence[Rows]], Rows]
Observer = Callable[[Scores, float], None]

logger = logging.getLogger(__name__)


class Batcher:
    """Runs the rows of concurrent requests in batches and returns to each request its own scores.

    Args:
        run: maps rows `(n, …)` to scores `(n, classes)`, n from 1 to `max_batch_size`.
        concat: joins the parts of a batch; called directly before `run`, in the same thread.
        max_batch_size: the maximum number of rows in a run; a longer request takes several runs.
        max_batch_elements: the maximum number of elements in the rows of a run, of one row at least; for
            rows of any size.
        max_queue_delay: seconds that a batch waits for rows that may not arrive.
        wait_per_row: seconds, per waiting row, that a batch waits for expected rows; see `BatchWindow`.
        executor: calls `run`; None calls it in the event loop, which suits an engine that is faster than the
            handover to a thread.
        observe: called with the scores and the seconds of every run.
        queue_changed: called with each change, positive or negative, in the number of waiting rows.

    Attributes:
        runs: the number of runs.
        largest_run: the rows of the largest run since this was last set to 0.
    """

    def __init__(
        self,
        run: Run,
        *,
        concat: Concat = np.concatenate,
        max_batch_size: int,
        max_batch_elements: int | None = None,
        max_queue_delay: float = 0.0,
        wait_per_row: float = 0.0,
        executor: Executor | None = None,
        observe: Observer = lambda scores, seconds: None,
        queue_changed: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self.runs = 0
        self.largest_run = 0
        self._run = run
        self._concat = concat
        self._max_batch_size = max_batch_size
        self._max_batch_elements = max_batch_elements
        self._window = BatchWindow(max_queue_delay, wait_per_row)
        self._executor = executor
        self._observe = observe
        self._queue_changed = queue_changed
        self._waiting: deque[PendingRequest] = deque()
        self._background: deque[PendingRequest] = deque()
        self._rows_waiting = 0
        self._flush_handle: asyncio.Handle | None = None
        self._flush_is_due = False
        self._window_opened = 0.0
        self._running: asyncio.Future[tuple[Scores, float]] | None = None
        self._running_since = 0.0
        self._running_batch: Batch | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._deadlines = DeadlineTimer(self._pending)
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def submit(self, rows: Rows, *, deadline: float = NEVER) -> RequestResult:
        """The scores of rows `(n, …)`, n at least 1; `deadline` is in the event loop's time.

        Raises:
            DeadlineExceeded: the deadline passed before the result was ready.
            InferenceFailed: the engine raised on a batch that held rows of this request.
            ModelNotReady: the batcher is closed.
        """
        if self._closed:
            raise ModelNotReady("the model is being unloaded")
        loop = asyncio.get_running_loop()
        if deadline <= loop.time():
            raise DeadlineExceeded("the deadline passed before the request reached the engine")
        request = PendingRequest(rows, loop.create_future(), deadline)
        self._waiting.append(request)
        self._count_waiting(len(rows))
        self._idle.clear()
        if deadline < self._deadlines.nearest:
            self._deadlines.watch(deadline)
        self._schedule_flush()
        try:
            return await request.future
        except BaseException:
            self._count_waiting(-request.skip())
            raise

    async def submit_background(self, rows: Rows, *, deadline: float = NEVER) -> Scores:
        """The scores of rows `(n, …)` that run while no others wait, in one run of their own.

        They delay other rows by at most this run, and neither observers nor metrics count them. `n` is at
        most `max_batch_size`.

        Raises:
            DeadlineExceeded, InferenceFailed, ModelNotReady: as `submit`.
        """
        if self._closed:
            raise ModelNotReady("the model is being unloaded")
        loop = asyncio.get_running_loop()
        if deadline <= loop.time():
            raise DeadlineExceeded("the deadline passed before the request reached the engine")
        request = PendingRequest(rows, loop.create_future(), deadline)
        self._background.append(request)
        self._idle.clear()
        if deadline < self._deadlines.nearest:
            self._deadlines.watch(deadline)
        self._schedule_flush()
        return (await request.future).scores

    def expect_rows(self, rows: int) -> None:
        """Announce rows that are being prepared; `rows_ready` must be called for all of them."""
        self._window.expect_rows(rows)

    def rows_ready(self, rows: int) -> None:
        """Note that expected rows are submitted in this iteration of the event loop, or never will be."""
        if self._window.rows_ready(rows):
            self._schedule_flush()

    @property
    def max_queue_delay(self) -> float:
        return self._window.max_delay

    @property
    def rows_waiting(self) -> int:
        """Rows that no batch has taken yet."""
        return self._rows_waiting

    @property
    def busy_seconds(self) -> float:
        """Seconds since the start of the current run; 0 while the engine is idle."""
        return 0.0 if self._running is None else time.monotonic() - self._running_since

    def flush_now(self) -> None:
        """Stop waiting for rows that may not arrive."""
        self._window.max_delay = 0.0
        self._schedule_flush()

    async def drain(self) -> None:
        """Reject new rows and return when every submitted request is complete."""
        self._closed = True
        for request in self._background:
            request.set_exception(ModelNotReady("the model is being unloaded"))
        self._schedule_flush()
        await self._idle.wait()
        self._deadlines.close()

    def _schedule_flush(self) -> None:
        """Schedule `_flush` for the end of the batch window, or for this iteration of the event loop."""
        if self._running is not None or self._flush_is_due or not (self._waiting or self._background):
            return
        full = self._closed or self._rows_waiting >= self._max_batch_size
        if self._pause is not None and not full:
            return
        loop = asyncio.get_running_loop()
        if self._flush_handle is None:
            self._window_opened = loop.time()
            self._window.open()
        else:
            self._flush_handle.cancel()
        delay = 0.0 if full or not self._waiting else self._window.delay(self._rows_waiting)
        # Not a direct call, so that requests of the same iteration share the batch.
        self._flush_handle = (
            loop.call_at(self._window_opened + delay, self._flush) if delay else loop.call_soon(self._flush)
        )
        self._flush_is_due = not delay

    def _pending(self) -> Iterator[PendingRequest]:
        running = () if self._running_batch is None else self._running_batch.requests
        requests = chain(running, self._waiting, self._background)
        return (request for request in requests if not request.future.done())

    def _flush(self) -> None:
        self._flush_handle, self._flush_is_due = None, False
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        batch = self._take_batch()
        if not batch.requests and self._background:
            batch = self._take_background()
        if not batch.requests:
            self._schedule()
        elif self._executor is None:
            self._finish(batch, functools.partial(self._timed_run, batch))
        else:
            self._run_in_executor(batch, self._executor)

    def _take_batch(self) -> Batch:
        """Take the waiting rows that fit, and skip requests that were cancelled or have expired."""
        batch = Batch()
        room = self._max_batch_size
        taken = 0
        now = time.perf_counter()
        while room and self._waiting:
            request = self._waiting[0]
            if not request.future.done():
                if batch.parts and request.rows.shape[1:] != batch.parts[0].shape[1:]:
                    break  # the model has a dynamic input size; these rows go to the next batch
                if self._max_batch_elements is not None and not batch.parts:
                    room = min(room, max(1, self._max_batch_elements // request.rows[0].size))
                part = request.take(room, now)
                batch.requests.append(request)
                batch.parts.append(part)
                room -= len(part)
                taken += len(part)
                if request.rows_taken < len(request.rows):
                    break
            else:
                self._count_waiting(-request.skip())
            self._waiting.popleft()
        self._count_waiting(-taken)
        return batch

    def _take_background(self) -> Batch:
        """Take the rows of the next background request that is still awaited."""
        batch = Batch()
        while self._background and not batch.requests:
            request = self._background.popleft()
            if not request.future.done():
                batch.parts.append(request.take(len(request.rows), time.perf_counter()))
                batch.requests.append(request)
                batch.background = True
        return batch

    def _count_waiting(self, change: int) -> None:
        self._rows_waiting += change
        self._queue_changed(change)

    def _timed_run(self, batch: Batch) -> tuple[Scores, float]:
        rows = self._concat(batch.parts)
        started = time.perf_counter()
        scores = self._run(rows)
        self.runs += 1
        self.largest_run = max(self.largest_run, len(rows))
        if len(scores) != len(rows):
            raise ValueError(f"the engine returned {len(scores)} rows for a batch of {len(rows)}")
        return scores, time.perf_counter() - started

    def _run_in_executor(self, batch: Batch, executor: Executor) -> None:
        try:
            running = asyncio.get_running_loop().run_in_executor(executor, self._timed_run, batch)
        except RuntimeError as error:  # the executor is shut down
            self._fail(batch, error)
            self._schedule()
        else:
            self._running, self._running_batch = running, batch
            self._running_since = time.monotonic()
            running.add_done_callback(functools.partial(self._on_run_done, batch))

    def _on_run_done(self, batch: Batch, running: asyncio.Future[tuple[Scores, float]]) -> None:
        pause = self._window.pause(self.busy_seconds) if self._waiting else 0.0
        self._running = self._running_batch = None
        if pause:
            self._pause = asyncio.get_running_loop().call_later(pause, self._resume)
        self._finish(batch, running.result)

    def _resume(self) -> None:
        self._pause = None
        self._schedule()

    def _finish(self, batch: Batch, result: Callable[[], tuple[Scores, float]]) -> None:
        """Complete every request of the batch, whatever `result` raises, and schedule the next batch."""
        try:
            scores, seconds = result()
            batch.set_result(scores, seconds)
            if not batch.background:
                self._observe(scores, seconds)
        except (Exception, asyncio.CancelledError) as error:
            self._fail(batch, error)
        finally:
            self._schedule()

    def _fail(self, batch: Batch, cause: BaseException) -> None:
        logger.error("a batch of %d requests failed", len(batch.requests), exc_info=cause)
        for request in batch.requests:
            request.set_exception(InferenceFailed("the engine failed on the batch of this request"))

    def _schedule(self) -> None:
        if self._waiting or self._background:
            self._schedule_flush()
        elif self._running is None:
            self._idle.set()
