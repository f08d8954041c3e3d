"""Cost against growth: what each doubling of one thing does to throughput and p99, all else equal."""

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
from benchmarks.cases.inputs import Material, digits
from benchmarks.cases.measurements import MEGABYTE
from benchmarks.report.figures import Figures
from benchmarks.server_pool import Stage, repository
from benchmarks.servers import convserve, running
from service.loadgen.process_stats import pss

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SIDES = (28, 56, 112, 224, 448, 896, 1792)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MODELS = (1, 2, 5, 10, 20, 50)
WORKERS = (1, 2, 3, 4)
# Of the rate that a closed loop of 64 connections reaches.
OFFERED = (0.25, 0.5, 0.75, 0.9, 1.0, 1.5, 2.0, 4.0)
USUAL_CONNECTIONS = 64
OPEN_CONNECTIONS = 512
# Of so many a quick run takes the first, the middle and the last.
QUICK = 3


@dataclass(frozen=True, slots=True)
class Curve:
    """
    Attributes:
        unit: what the horizontal axis counts.
        what: `rate` or `images`, which of the figures is the throughput.
    """

    key: str
    title: str
    unit: str
    what: str
    points: Sequence[float]
    measure: Callable[[Stage, float], Figures]


@dataclass(frozen=True, slots=True)
class Grown:
    """One curve as it was measured, of points and figures."""

    key: str
    title: str
    unit: str
    what: str
    points: Sequence[tuple[float, Figures]]


def curves(stack: ExitStack) -> Iterator[Curve]:
    material = Material.of(CONVNET, digits(), "")
    server = convserve(stack.enter_context(repository(CONVNET)), 2)

    def single(stage: Stage, connections: float) -> Figures:
        found = stage.server(server)
        return Figures.of(stage.ask(found, peer_requests.raw(found, material, 1), int(connections)))

    yield Curve(
        "connections",
        "Connections, one 28x28 PNG a request, 2 workers",
        "connections",
        "rate",
        CONNECTIONS,
        single,
    )

    def offered(stage: Stage, share: float) -> Figures:
        found = stage.server(server)
        requests = peer_requests.raw(found, material, 1)
        capacity = stage.ask(found, requests, USUAL_CONNECTIONS).throughput
        return Figures.of(stage.ask(found, requests, OPEN_CONNECTIONS, rate=max(share * capacity, 1.0)))

    title = "Offered load, Poisson, 2 workers"
    yield Curve("offered", title, "offered, of the rate of 64 connections", "rate", OFFERED, offered)

    def side(stage: Stage, length: float) -> Figures:
        found = stage.server(server)
        pictures = Material.of(CONVNET, digits(int(length)), "")
        return Figures.of(stage.ask(found, peer_requests.raw(found, pictures, 1), 16))

    yield Curve("side", "Picture size, PNG, 16 connections, 2 workers", "pixels a side", "rate", SIDES, side)

    def batch(stage: Stage, images: float) -> Figures:
        found = stage.server(server)
        return Figures.of(stage.ask(found, peer_requests.raw(found, material, int(images)), 4))

    yield Curve(
        "images", "Images a request, 4 connections, 2 workers", "images a request", "images", IMAGES, batch
    )
    yield Curve(
        "models",
        "Loaded models, asked in turns, 64 connections, 2 workers",
        "models",
        "rate",
        MODELS,
        _models,
    )
    workers = partial(_workers, stack.enter_context(repository(CONVNET)), material)
    yield Curve(
        "workers", "Workers on this machine's cores, 64 connections", "workers", "rate", WORKERS, workers
    )


def grown(curve: Curve, stage: Stage, *, quick: bool) -> Grown:
    points = curve.points
    if quick and len(points) > QUICK:
        points = [points[0], points[len(points) // 2], points[-1]]
    return Grown(
        curve.key, curve.title, curve.unit, curve.what, [(at, curve.measure(stage, at)) for at in points]
    )


def _workers(models: Path, material: Material, stage: Stage, count: float) -> Figures:
    found = stage.server(convserve(models, int(count)))
    return Figures.of(stage.ask(found, peer_requests.raw(found, material, 1), USUAL_CONNECTIONS))


def _models(stage: Stage, count: float) -> Figures:
    """Requests to every one of them in turns; `pss` is the server's memory."""
    with _copies(int(count)) as (models, folders), running(convserve(models, 2)) as server:
        each = [peer_requests.raw(server, Material.of(folder, digits(), ""), 1) for folder in folders]
        data = tuple(data for requests in each for data in requests.data)
        found = Figures.of(stage.ask(server, replace(each[0], data=data), USUAL_CONNECTIONS))
        return replace(found, pss=pss(server.processes) / MEGABYTE)


@contextmanager
def _copies(count: int) -> Iterator[tuple[Path, list[Path]]]:
    """The convnet under so many names."""
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
