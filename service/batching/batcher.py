"""Rows in, batches through one engine, each caller's own rows out.

A batch leaves when the engine is free and takes what waits, up to `max_batch_size`. Nobody waits on an idle
engine for company that may not come (unless `max_queue_delay` asks for it), and under load batches grow by
themselves. Rows that were announced do come: a heavy engine waits for them a little, see `patience`.

There is no task that could die: every step is a callback of the event loop, and the outermost step of each
answers all waiters of its batch, whatever was raised.
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
from .deadlines import NEVER, Deadlines
from .pending_request import Answer, Batch, PendingRequest, Rows, Scores

Run = Callable[[Rows], Scores]
Gather = Callable[[Sequence[Rows]], Rows]
Observer = Callable[[Scores, float], None]

logger = logging.getLogger(__name__)


class Batcher:
    """Gathers the rows of many callers into batches for one engine.

    Args:
        run: `(n, …)` rows to `(n, classes)` scores, n from 1 to `max_batch_size`.
        gather: the parts of a batch to the rows of one run, just before it and where it is called.
        max_batch_size: rows in one run at the most; longer requests run in several.
        max_queue_delay: seconds a lone request may wait for company; 0 means none.
        patience: seconds, for each row that waits, to wait for rows that were announced; see `BatchWindow`.
        executor: where `run` is called; None calls it in the event loop's own turn, which is right for
            an engine that takes less time than the hop to a thread costs.
        observe: told the scores and the seconds of every batch that ran.
    """

    def __init__(
        self,
        run: Run,
        *,
        gather: Gather = np.concatenate,
        max_batch_size: int,
        max_queue_delay: float = 0.0,
        wait_per_row: float = 0.0,
        executor: Executor | None = None,
        observe: Observer = lambda scores, seconds: None,
    ) -> None:
        self._run = run
        self._gather = gather
        self._max_batch_size = max_batch_size
        self._window = BatchWindow(max_queue_delay, wait_per_row)
        self._executor = executor
        self._observe = observe
        self._waiting: deque[PendingRequest] = deque()
        self._rows_waiting = 0
        self._wake: asyncio.Handle | None = None
        self._wake_is_soon = False
        self._wanted_since = 0.0
        self._running: asyncio.Future[tuple[Scores, float]] | None = None
        self._running_since = 0.0
        self._under_way: Batch | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._deadlines = Deadlines(self._unanswered)
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def submit(self, rows: Rows, *, deadline: float = NEVER) -> Answer:
        """The scores of `rows`, shape `(n, …)`, n at least 1; `deadline` is in the event loop's time.

        Raises:
            DeadlineExceeded: the deadline came before the answer.
            InferenceFailed: the engine raised on a batch that held some of these rows.
            ModelNotReady: the batcher was closed.
        """
        if self._closed:
            raise ModelNotReady("the model is being unloaded")
        loop = asyncio.get_running_loop()
        if deadline <= loop.time():
            raise DeadlineExceeded("the deadline passed before the request reached the engine")
        request = PendingRequest(rows, loop.create_future(), deadline)
        self._waiting.append(request)
        self._rows_waiting += len(rows)
        self._idle.clear()
        if deadline < self._deadlines.nearest:
            self._deadlines.watch(deadline)
        self._wake_up()
        return await request.future

    def expect_rows(self, rows: int) -> None:
        """So many rows are being made ready, and `arrive` will be told what became of them."""
        self._window.expect_rows(rows)

    def rows_ready(self, rows: int) -> None:
        """So many of them are submitted in this turn of the loop, or never will be."""
        if self._window.rows_ready(rows):
            self._wake_up()

    @property
    def max_queue_delay(self) -> float:
        return self._window.max_delay

    @property
    def rows_waiting(self) -> int:
        """Rows that no batch has taken yet, with those of requests that were cancelled meanwhile."""
        return self._rows_waiting

    @property
    def busy_seconds(self) -> float:
        """How long the engine has been at its present batch; 0 while it is idle."""
        return 0.0 if self._running is None else time.monotonic() - self._running_since

    def flush_now(self) -> None:
        """Let nobody wait for company any more: none is to come."""
        self._window.max_delay = 0.0
        self._wake_up()

    async def drain(self) -> None:
        """Refuse new rows, and return when every admitted one has been answered."""
        self._closed = True
        self._wake_up()
        await self._idle.wait()
        self._deadlines.close()

    def _wake_up(self) -> None:
        """See to it that `_flush` is called: in this turn of the loop, or when company was waited for."""
        if self._running is not None or self._wake_is_soon or not self._waiting:
            return
        full = self._closed or self._rows_waiting >= self._max_batch_size
        if self._pause is not None and not full:
            return
        loop = asyncio.get_running_loop()
        if self._wake is None:
            self._wanted_since = loop.time()
            self._window.gather()
        else:
            self._wake.cancel()
        delay = 0.0 if full else self._window.delay(self._rows_waiting)
        # call_soon and not a call: what other requests of this turn submit shares the batch.
        self._wake = (
            loop.call_at(self._wanted_since + delay, self._flush) if delay else loop.call_soon(self._flush)
        )
        self._wake_is_soon = not delay

    def _unanswered(self) -> Iterator[PendingRequest]:
        under_way = () if self._under_way is None else self._under_way.requests
        return (request for request in chain(under_way, self._waiting) if not request.future.done())

    def _flush(self) -> None:
        self._wake, self._wake_is_soon = None, False
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        batch = self._take_batch()
        if not batch.requests:
            self._schedule()
        elif self._executor is None:
            self._finish(batch, functools.partial(self._timed_run, batch))
        else:
            self._run_elsewhere(batch, self._executor)

    def _take_batch(self) -> Batch:
        """Take what waits, skipping callers who went away or whose time is over."""
        batch = Batch()
        room = self._max_batch_size
        now = time.perf_counter()
        while room and self._waiting:
            request = self._waiting[0]
            if not request.future.done():
                if batch.parts and request.rows.shape[1:] != batch.parts[0].shape[1:]:
                    break  # of a model that takes any size: the next batch is theirs
                piece = request.take(room, now)
                batch.requests.append(request)
                batch.parts.append(piece)
                room -= len(piece)
                self._rows_waiting -= len(piece)
                if request.taken < len(request.rows):
                    break
            else:
                self._rows_waiting -= len(request.rows) - request.taken
            self._waiting.popleft()
        return batch

    def _timed_run(self, batch: Batch) -> tuple[Scores, float]:
        rows = self._gather(batch.parts)
        started = time.perf_counter()
        scores = self._run(rows)
        if len(scores) != len(rows):
            raise ValueError(f"the engine answered {len(scores)} rows for {len(rows)}")
        return scores, time.perf_counter() - started

    def _run_elsewhere(self, batch: Batch, executor: Executor) -> None:
        try:
            running = asyncio.get_running_loop().run_in_executor(executor, self._timed_run, batch)
        except RuntimeError as error:  # the executor was shut down
            self._fail(batch, error)
            self._schedule()
        else:
            self._running, self._under_way = running, batch
            self._running_since = time.monotonic()
            running.add_done_callback(functools.partial(self._finished, batch))

    def _finished(self, batch: Batch, running: asyncio.Future[tuple[Scores, float]]) -> None:
        pause = self._window.pause(self.busy_seconds) if self._waiting else 0.0
        self._running = self._under_way = None
        if pause:
            self._pause = asyncio.get_running_loop().call_later(pause, self._resume)
        self._finish(batch, running.result)

    def _resume(self) -> None:
        self._pause = None
        self._schedule()

    def _finish(self, batch: Batch, result: Callable[[], tuple[Scores, float]]) -> None:
        """Answer every waiter of the batch, come what may, and go on to the next."""
        try:
            scores, seconds = result()
            batch.set_result(scores, seconds)
            self._observe(scores, seconds)
        except (Exception, asyncio.CancelledError) as error:
            self._fail(batch, error)
        finally:
            self._schedule()

    def _fail(self, batch: Batch, cause: BaseException) -> None:
        logger.error("a batch of %d requests failed", len(batch.requests), exc_info=cause)
        for request in batch.requests:
            request.set_exception(InferenceFailed("the engine failed on the batch this request was in"))

    def _schedule(self) -> None:
        if self._waiting:
            self._wake_up()
        elif self._running is None:
            self._idle.set()
