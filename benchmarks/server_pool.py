"""Starts each server of a run on first use, and stops all together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from benchmarks.servers import BenchmarkServer, RunningServer, running
from service.loadgen.results.measurement import Measurement
from service.loadgen.runner import LoadRunner
from service.loadgen.types import Plan, Requests


@dataclass(frozen=True, slots=True)
class Timing:
    """The number of rounds and the duration of each measurement, in seconds.

    Attributes:
        heavy_seconds: duration for a large network, which classifies dozens of images per second.
    """

    rounds: int
    seconds: float
    heavy_seconds: float
    warm_up: float


class ServerPool:
    """Starts servers on first use and measures them one at a time.

    Idle servers use no CPU time, so all servers of a group can stay running.
    """

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self._servers = ExitStack()
        self._running: dict[BenchmarkServer, RunningServer] = {}
        self._runner = LoadRunner()

    def __enter__(self) -> Self:
        self._runner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()
        self._runner.__exit__(kind, error, trace)

    def server(self, server: BenchmarkServer) -> RunningServer:
        if server not in self._running:
            self._running[server] = self._servers.enter_context(running(server))
        return self._running[server]

    def stop_all(self) -> None:
        self._servers.close()
        self._running.clear()

    def measure(
        self,
        server: RunningServer,
        requests: Requests,
        connections: int,
        *,
        rate: float | None = None,
        seconds: float | None = None,
        seed: int = 0,
    ) -> Measurement:
        """Run a closed loop, or an open loop of `rate` requests per second."""
        duration = self.timing.seconds if seconds is None else seconds
        plan = Plan(requests, connections, rate, self.timing.warm_up, duration, seed)
        return self._runner.run(plan, [server.pid])


@contextmanager
def repository(*folders: Path) -> Iterator[Path]:
    """Create a temporary model repository that contains only these version folders."""
    with TemporaryDirectory() as models:
        for folder in folders:
            version = Path(models, folder.parent.name, folder.name)
            version.parent.mkdir(exist_ok=True)
            version.symlink_to(folder.resolve())
        yield Path(models)
