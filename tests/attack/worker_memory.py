"""Samples the memory of each worker of a server."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from tests.support.server.procfs import workers
from tests.support.watcher.process_tree import resident_bytes

INTERVAL = 0.1


class WorkerMemory:
    """The peak of each worker's memory while the block runs; workers that started later are included."""

    def __init__(self, server: int) -> None:
        self.peaks: dict[int, int] = {}
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(INTERVAL):
            for pid, size in memory_of_workers(self._server).items():
                self.peaks[pid] = max(self.peaks.get(pid, 0), size)


def memory_of_workers(server: int) -> dict[int, int]:
    """Bytes of each worker that no file backs."""
    return {pid: resident_bytes(pid) for pid in workers(server)}
