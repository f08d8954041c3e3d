"""The entries and targets of a row, and the functions that measure them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import nan
from statistics import median

from benchmarks.cases import peer_requests
from benchmarks.cases.engine_limit import measure_engine
from benchmarks.cases.inputs import BenchmarkInputs
from benchmarks.report.figures import Figures
from benchmarks.server_pool import ServerPool
from benchmarks.servers import BenchmarkServer, running
from service.loadgen.process_stats import pss

MEGABYTE = 1e6
# One round of a row: the figures of each entry.
Round = Mapping[str, Figures]
Rounds = Sequence[Round]


@dataclass(frozen=True, slots=True)
class Entry:
    """One server or engine in a row, and the function that measures it."""

    name: str
    measure: Callable[[ServerPool], Figures]


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on a figure of a row.

    Attributes:
        text: the description in the report.
        value: computes the figure from the rounds of the row.
        at_least: whether `bound` is the minimum or the maximum.
    """

    text: str
    value: Callable[[Rounds], float]
    bound: float
    at_least: bool

    def reached(self, rounds: Rounds) -> bool:
        value = self.value(rounds)
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True)
class Row:
    key: str
    title: str
    entries: Sequence[Entry]
    targets: Sequence[Target] = field(default=())


def load_entry(
    server: BenchmarkServer,
    build_requests: peer_requests.RequestFactory,
    inputs: BenchmarkInputs,
    connections: int,
    images: int = 1,
    note: str = "",
) -> Entry:
    """Return the entry of a server under a closed loop over HTTP or gRPC."""

    def measure(pool: ServerPool) -> Figures:
        running = pool.server(server)
        workload = build_requests(running, inputs, images)
        return Figures.of(pool.measure(running, workload, connections, seconds=_seconds(pool, inputs)))

    return Entry(server.name + (f", {note}" if note else ""), measure)


def engine_entry(
    inputs: BenchmarkInputs,
    processes: int,
    batch: int,
    *,
    decode: bool = True,
    cuda: bool = False,
    note: str = "",
) -> Entry:
    """Return the entry of decoder and engine without a server, or of the engine alone."""

    def measure(pool: ServerPool) -> Figures:
        seconds = _seconds(pool, inputs)
        return Figures.of_limit(
            measure_engine(
                inputs, processes=processes, batch=batch, seconds=seconds, decode=decode, cuda=cuda
            )
        )

    many = f"{processes} process{'es' if processes > 1 else ''}, batches of {batch}"
    return Entry(note or f"no server: decode and ONNX Runtime, {many}", measure)


def startup_entry(
    server: BenchmarkServer, build_requests: peer_requests.RequestFactory, inputs: BenchmarkInputs
) -> Entry:
    """Return the entry of the time from start to readiness, and the memory after some requests.

    The requests import modules that are loaded on first use.
    """

    def measure(pool: ServerPool) -> Figures:
        with running(server) as process:
            pool.measure(process, build_requests(process, inputs, 1), 16)
            return Figures(ready=process.ready_seconds, pss=pss(process.processes) / MEGABYTE)

    return Entry(server.name, measure)


def figure(rounds: Rounds, name: str, metric: str) -> float:
    """Return the median over the rounds."""
    return median(_number(each[name], metric) for each in rounds)


def ratio(rounds: Rounds, name: str, other: str, metric: str) -> float:
    """Return the median of the ratios per round, which cancels changes in the speed of the machine."""
    return median(_number(each[name], metric) / (_number(each[other], metric) or nan) for each in rounds)


def at_least_times(entry: Entry, other: Entry, bound: float, metric: str = "images") -> Target:
    value = partial(ratio, name=entry.name, other=other.name, metric=metric)
    return Target(f"{_METRIC_NAMES[metric]} ≥ {bound:g} x {other.name}", value, bound, at_least=True)


def at_most_times(entry: Entry, other: Entry, bound: float, metric: str) -> Target:
    value = partial(ratio, name=entry.name, other=other.name, metric=metric)
    return Target(f"{_METRIC_NAMES[metric]} ≤ {bound:g} x {other.name}", value, bound, at_least=False)


def at_most(entry: Entry, bound: float, metric: str, unit: str) -> Target:
    value = partial(figure, name=entry.name, metric=metric)
    return Target(f"{_METRIC_NAMES[metric]} of {entry.name} ≤ {bound:g} {unit}", value, bound, at_least=False)


def at_least(entry: Entry, bound: float, metric: str, unit: str) -> Target:
    value = partial(figure, name=entry.name, metric=metric)
    return Target(f"{_METRIC_NAMES[metric]} of {entry.name} ≥ {bound:g} {unit}", value, bound, at_least=True)


def _seconds(pool: ServerPool, inputs: BenchmarkInputs) -> float:
    return pool.timing.heavy_seconds if inputs.is_heavy else pool.timing.seconds


def _number(figures: Figures, metric: str) -> float:
    value = getattr(figures, metric)
    return nan if value is None else float(value)


_METRIC_NAMES: Mapping[str, str] = {
    "images": "throughput",
    "rate": "throughput",
    "p50": "p50",
    "p99": "p99",
    "cpu": "CPU",
    "pss": "PSS",
    "ready": "start to ready",
    "rejection_p99": "p99 of rejections",
}
