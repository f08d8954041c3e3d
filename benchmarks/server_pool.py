"""The servers of a run: each started when it is first asked for, all ended with the block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from benchmarks.servers import Contender, Running, running
from service.loadgen.results.measurement import Measurement
from service.loadgen.runner import Load
from service.loadgen.types import Plan, Requests


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how often; seconds.

    Attributes:
        heavy_seconds: of a measurement of a large network, which answers dozens and not thousands.
    """

    rounds: int
    seconds: float
    heavy_seconds: float
    warm_up: float


class Stage:
    """Idle servers cost nothing but memory, so all of a group wait while one of them is asked."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._servers = ExitStack()
        self._running: dict[Contender, Running] = {}
        self._load = Load()

    def __enter__(self) -> Self:
        self._load.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
        self._load.__exit__(kind, error, trace)

    def server(self, contender: Contender) -> Running:
        if contender not in self._running:
            self._running[contender] = self._servers.enter_context(running(contender))
        return self._running[contender]

    def clear(self) -> None:
        """End all servers."""
        self._servers.close()
        self._running.clear()

    def ask(
        self,
        server: Running,
        requests: Requests,
        connections: int,
        *,
        rate: float | None = None,
        seconds: float | None = None,
        seed: int = 0,
    ) -> Measurement:
        """A closed loop, or an open one of so many requests a second."""
        window = self.pace.seconds if seconds is None else seconds
        plan = Plan(requests, connections, rate, self.pace.warm_up, window, seed)
        return self._load.run(plan, [server.pid])


@contextmanager
def repository(*folders: Path) -> Iterator[Path]:
    """A model repository of these versions alone."""
    with TemporaryDirectory() as models:
        for folder in folders:
            version = Path(models, folder.parent.name, folder.name)
            version.parent.mkdir(exist_ok=True)
            version.symlink_to(folder.resolve())
        yield Path(models)
