"""Processes that classify chunks of files, and survive the loss of one of them."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Self, cast

from ...errors import ConvserveError, InferenceFailed
from ..rows import Chunk, Predictions
from .chunk_feeder import ChunkFeeder
from .worker_process import TERMINAL_SIGNALS, FileClassifying, Ready, work

Factory = Callable[[], FileClassifying]
# Returns what opens the classifier of the worker of this number; the replacement of a lost worker has to open
# the model that the others have.
FactoryOf = Callable[[int, Ready | None], Factory]

# A worker has its next chunk before it is done with the first.
CHUNKS_PER_WORKER = 2
# Chunks for each worker that may be done while an earlier one is not; their rows are kept in memory.
WINDOW_PER_WORKER = 8
JOIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Task:
    """A chunk, or a part of one that is classified alone because the chunk has ended a process.

    Attributes:
        part: the index of the file; None for the whole chunk.
    """

    chunk: Chunk
    part: int | None = None


@dataclass(slots=True)
class _Worker:
    """A process and its tasks in the order of their results."""

    process: SpawnProcess
    connection: Connection
    ready: Ready | None = None
    tasks: deque[_Task] = field(default_factory=deque)


class WorkerPool:
    """Classifies chunks in several processes, and returns them in order.

    The processes are spawned rather than forked: they inherit no lock, no descriptor and no thread, and can
    be replaced at any time. If one ends while it classifies a chunk, the files of that chunk are classified
    one by one, and the file that ends a process again gets an error.

    Args:
        tick: called several times a second while results are awaited; None if nobody wants to be.

    Attributes:
        ready: the message of the first worker that was ready.
    """

    def __init__(self, count: int, factory_of: FactoryOf, tick: Callable[[], None] | None = None) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._factory_of = factory_of
        self._tick = tick
        self._started = 0
        self.ready: Ready | None = None
        self._todo: deque[_Task] = deque()
        self._parts: dict[int, dict[int, Predictions]] = {}
        self._done: dict[int, tuple[Chunk, Predictions]] = {}
        self._workers: list[_Worker] = []
        try:
            for _ in range(count):
                self._start()
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.kill()
            return
        for worker in self._workers:
            worker.connection.close()
        for worker in self._workers:
            worker.process.join(JOIN_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the processes at once: they hold nothing that could be lost."""
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
            worker.connection.close()
        self._workers.clear()

    def wait_until_ready(self) -> Ready:
        """The message of the first worker that is ready; the others may still load the model.

        Raises:
            ConvserveError: the model cannot be loaded.
        """
        while self.ready is None:
            self._receive(None)
        return self.ready

    def classify(self, chunks: Iterable[Chunk]) -> Generator[tuple[Chunk, Predictions], None, None]:
        """The predictions of each chunk, in order.

        Raises:
            ConvserveError: a worker cannot be replaced, or the listing fails.
        """
        expected = 0
        with ChunkFeeder(chunks) as feeder:
            feed: Connection | None = feeder.connection
            while True:
                while expected in self._done:
                    yield self._done.pop(expected)
                    expected += 1
                while self._todo and (worker := self._least_busy()) is not None:
                    self._send(worker)
                if feed is None and not self._todo and not any(worker.tasks for worker in self._workers):
                    return
                feed = self._receive(feed)

    @property
    def _has_room(self) -> bool:
        """True if another chunk can be sent, and not too many results wait for an earlier one."""
        few_waiting = len(self._done) < WINDOW_PER_WORKER * len(self._workers)
        return few_waiting and not self._todo and self._least_busy() is not None

    def _least_busy(self) -> _Worker | None:
        worker = min(self._workers, key=lambda each: len(each.tasks))
        return worker if len(worker.tasks) < CHUNKS_PER_WORKER else None

    def _send(self, worker: _Worker) -> None:
        task = self._todo.popleft()
        worker.tasks.append(task)
        chunk = task.chunk if task.part is None else task.chunk.part(task.part)
        try:
            worker.connection.send(chunk)
        except ConnectionError:
            self._replace(worker)

    def _receive(self, feed: Connection | None) -> Connection | None:
        """Wait for messages of workers, for a chunk, or for the next tick.

        Args:
            feed: the source of chunks; it is returned until it has ended.
        """
        connections: dict[Connection, _Worker | None] = {each.connection: each for each in self._workers}
        if feed is not None and self._has_room:
            connections[feed] = None
        for ready in wait(list(connections), None if self._tick is None else 0.1):
            worker = connections[cast(Connection, ready)]
            if worker is not None:
                self._receive_from(worker)
            elif feed is not None:
                feed = self._take_chunk(feed)
        if self._tick is not None:
            self._tick()
        return feed

    def _receive_from(self, worker: _Worker) -> None:
        try:
            message = worker.connection.recv()
        except (EOFError, ConnectionError):
            self._replace(worker)
            return
        if isinstance(message, ConvserveError):
            raise message
        if isinstance(message, Ready):
            worker.ready = message
            self._check(message)
        else:
            self._finish(worker.tasks.popleft(), message)

    def _take_chunk(self, feed: Connection) -> Connection | None:
        """Take the next chunk; returns None if there is none."""
        try:
            chunk = feed.recv()
        except EOFError:
            return None
        if isinstance(chunk, Exception):
            raise chunk
        self._todo.append(_Task(chunk))
        return feed

    def _finish(self, task: _Task, predictions: Predictions) -> None:
        chunk = task.chunk
        if task.part is None:
            self._done[chunk.number] = chunk, predictions
            return
        parts = self._parts.setdefault(chunk.number, {})
        parts[task.part] = predictions
        if len(parts) == len(chunk.paths):
            del self._parts[chunk.number]
            self._done[chunk.number] = chunk, Predictions.joined([parts[index] for index in sorted(parts)])

    def _replace(self, worker: _Worker) -> None:
        """Start another process for one that has ended, and give its tasks to it."""
        worker.connection.close()
        worker.process.join()
        self._workers.remove(worker)
        if worker.ready is None:
            raise InferenceFailed(
                f"a worker process {_ending(worker.process)} before it had loaded the model; "
                "its messages are above"
            )
        if worker.tasks:
            # Results come in the order of the tasks: the process has ended in the first one.
            suspect, *others = worker.tasks
            self._todo.extendleft(reversed(others))
            self._isolate(suspect, f"the process that classified it {_ending(worker.process)}", worker.ready)
        self._start()

    def _isolate(self, task: _Task, reason: str, ready: Ready) -> None:
        """Classify the files of a task one by one; a single file gets the error."""
        count = len(task.chunk.paths)
        if task.part is None and count > 1:
            self._todo.extendleft(_Task(task.chunk, part) for part in reversed(range(count)))
        else:
            failed = Predictions.failed(ready.model, ready.version, ready.top_k, reason)
            self._finish(_Task(task.chunk, task.part or 0), failed)

    def _start(self) -> None:
        factory = self._factory_of(self._started, self.ready)
        self._started += 1
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(theirs, factory), daemon=True)
        # It unblocks SIGINT when it starts its own process, so that has to be done before.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL_SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINAL_SIGNALS)
        theirs.close()
        self._workers.append(_Worker(process, ours))

    def _check(self, ready: Ready) -> None:
        """Check that all workers have the same model: a version may be published while they start."""
        first = self.ready = self.ready or ready
        if (ready.model, ready.version) != (first.model, first.version):
            raise InferenceFailed(
                f"the workers have loaded different versions, {first.model} {first.version} and "
                f"{ready.model} {ready.version}; run the command again"
            )


def _ending(process: SpawnProcess) -> str:
    code = process.exitcode or 0
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
