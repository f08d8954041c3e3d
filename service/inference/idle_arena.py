"""Returns the memory that large batches have taken once their model is idle."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

from ..batching.batcher import Batcher
from ..batching.pending_request import Rows
from ..engine.session import Engine

# Checks, one a second, without a new batch. The next large batches take a few milliseconds more.
IDLE_CHECKS = 20


class IdleArena:
    """Shrinks the arena of one model's engine.

    ONNX Runtime keeps the memory of the largest batch. For a network with large layers, that is several
    hundred megabytes.

    Args:
        executor: the thread of the engine; None if it runs in the event loop.
        row: rows `(1, …)` of the model's input.
    """

    def __init__(self, engine: Engine, batcher: Batcher, executor: Executor | None, row: Rows) -> None:
        self._engine = engine
        self._batcher = batcher
        self._executor = executor
        self._row = row
        self._runs = 0
        self._idle_checks = 0

    def check(self) -> None:
        """Shrink the arena if a large batch has run and the model is idle; to be called once a second."""
        batcher = self._batcher
        if batcher.runs != self._runs or batcher.busy_seconds:
            self._runs = batcher.runs
            self._idle_checks = 0
            return
        self._idle_checks += 1
        if self._idle_checks < IDLE_CHECKS or batcher.largest_run <= 1:
            return
        batcher.largest_run = 0
        if self._executor is None:
            self._engine.shrink_arena(self._row)
        else:
            asyncio.get_running_loop().run_in_executor(self._executor, self._engine.shrink_arena, self._row)
