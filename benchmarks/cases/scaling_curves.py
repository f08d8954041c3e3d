"""Scaling curves: throughput and p99 latency as one parameter grows and all others stay the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.cases import peer_requests
from benchmarks.cases.cases import CONVNET
from benchmarks.cases.inputs import BenchmarkInputs, digits
from benchmarks.cases.measurements import MEGABYTE
from benchmarks.report.figures import Figures
from benchmarks.server_pool import ServerPool, repository
from benchmarks.servers import BenchmarkServer, convserve, running
from service.loadgen.process_stats import pss

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SIDES = (28, 56, 112, 224, 448, 896, 1792)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MODELS = (1, 2, 5, 10, 20, 50)
WORKERS = (1, 2, 3, 4)
# Shares of the rate of a closed loop with 64 connections.
OFFERED = (0.25, 0.5, 0.75, 0.9, 1.0, 1.5, 2.0, 4.0)
DEFAULT_CONNECTIONS = 64
OPEN_CONNECTIONS = 512
# A quick run measures the first, the middle and the last point.
QUICK_POINTS = 3


@dataclass(frozen=True, slots=True)
class ScalingCurve:
    """A parameter, its values, and the function that measures a value.

    Attributes:
        unit: the label of the horizontal axis.
        metric: the figure on the left axis, `rate` or `images`.
    """

    key: str
    title: str
    unit: str
    metric: str
    points: Sequence[float]
    measure: Callable[[ServerPool, float], Figures]


@dataclass(frozen=True, slots=True)
class MeasuredCurve:
    """The figures of a curve at each point."""

    key: str
    title: str
    unit: str
    metric: str
    points: Sequence[tuple[float, Figures]]


def curves(stack: ExitStack) -> Iterator[ScalingCurve]:
    """Yield all curves; the stack removes the repositories of their models."""
    inputs = BenchmarkInputs.of(CONVNET, digits(), "")
    two = _TwoWorkers(inputs, convserve(stack.enter_context(repository(CONVNET)), 2))
    yield from two.curves()
    title = "Loaded models, requested in turn, 64 connections, 2 workers"
    yield ScalingCurve("models", title, "models", "rate", MODELS, _models)
    workers = partial(_workers, stack.enter_context(repository(CONVNET)), inputs)
    title = "Workers on the same cores, 64 connections"
    yield ScalingCurve("workers", title, "workers", "rate", WORKERS, workers)


@dataclass(frozen=True, slots=True)
class _TwoWorkers:
    """Curves of one server with two workers."""

    inputs: BenchmarkInputs
    server: BenchmarkServer

    def curves(self) -> Iterator[ScalingCurve]:
        title = "Connections, one 28x28 PNG per request, 2 workers"
        yield ScalingCurve("connections", title, "connections", "rate", CONNECTIONS, self._connections)
        title = "Offered load, Poisson, 2 workers"
        unit = "offered, of the rate of 64 connections"
        yield ScalingCurve("offered", title, unit, "rate", OFFERED, self._offered)
        title = "Image size, PNG, 16 connections, 2 workers"
        yield ScalingCurve("side", title, "pixels per side", "rate", SIDES, self._side)
        title = "Images per request, 4 connections, 2 workers"
        yield ScalingCurve("images", title, "images per request", "images", IMAGES, self._images)

    def _connections(self, pool: ServerPool, connections: float) -> Figures:
        return self._closed_loop(pool, self.inputs, int(connections))

    def _offered(self, pool: ServerPool, share: float) -> Figures:
        running = pool.server(self.server)
        requests = peer_requests.raw(running, self.inputs, 1)
        capacity = pool.measure(running, requests, DEFAULT_CONNECTIONS).throughput
        return Figures.of(pool.measure(running, requests, OPEN_CONNECTIONS, rate=max(share * capacity, 1.0)))

    def _side(self, pool: ServerPool, length: float) -> Figures:
        return self._closed_loop(pool, BenchmarkInputs.of(CONVNET, digits(int(length)), ""), 16)

    def _images(self, pool: ServerPool, images: float) -> Figures:
        return self._closed_loop(pool, self.inputs, 4, int(images))

    def _closed_loop(
        self, pool: ServerPool, inputs: BenchmarkInputs, connections: int, images: int = 1
    ) -> Figures:
        running = pool.server(self.server)
        return Figures.of(pool.measure(running, peer_requests.raw(running, inputs, images), connections))


def measure_curve(curve: ScalingCurve, pool: ServerPool, *, quick: bool) -> MeasuredCurve:
    points = curve.points
    if quick and len(points) > QUICK_POINTS:
        points = [points[0], points[len(points) // 2], points[-1]]
    return MeasuredCurve(
        curve.key, curve.title, curve.unit, curve.metric, [(at, curve.measure(pool, at)) for at in points]
    )


def _workers(models: Path, inputs: BenchmarkInputs, pool: ServerPool, count: float) -> Figures:
    found = pool.server(convserve(models, int(count)))
    return Figures.of(pool.measure(found, peer_requests.raw(found, inputs, 1), DEFAULT_CONNECTIONS))


def _models(pool: ServerPool, count: float) -> Figures:
    """Send requests to each model in turn; `pss` is the server's memory."""
    with _copies(int(count)) as (models, folders), running(convserve(models, 2)) as server:
        each = [peer_requests.raw(server, BenchmarkInputs.of(folder, digits(), ""), 1) for folder in folders]
        data = tuple(data for requests in each for data in requests.data)
        found = Figures.of(pool.measure(server, replace(each[0], data=data), DEFAULT_CONNECTIONS))
        return replace(found, pss=pss(server.processes) / MEGABYTE)


@contextmanager
def _copies(count: int) -> Iterator[tuple[Path, list[Path]]]:
    """A repository with `count` copies of the convnet, and their version folders."""
    with TemporaryDirectory() as models:
        folders = []
        for index in range(count):
            folder = Path(models, f"convnet-{index}", "1")
            folder.mkdir(parents=True)
            manifest = json.loads((CONVNET / "manifest.json").read_text()) | {"name": f"convnet-{index}"}
            (folder / "manifest.json").write_text(json.dumps(manifest))
            for name in ("model.onnx", "golden.npz", "example.png"):
                (folder / name).symlink_to(CONVNET / name)
            folders.append(folder)
        yield Path(models), folders
