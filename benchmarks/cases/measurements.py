"""The table: for each kind of work who is measured, and what is to be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import nan
from statistics import median

from benchmarks.cases import peer_requests
from benchmarks.cases.engine_limit import limit
from benchmarks.cases.inputs import Material
from benchmarks.report.figures import Figures
from benchmarks.server_pool import Stage
from benchmarks.servers import Contender, running
from service.loadgen.process_stats import pss

MEGABYTE = 1e6
# One round of a row: each contender's figures.
Round = Mapping[str, Figures]
Rounds = Sequence[Round]


@dataclass(frozen=True, slots=True)
class Entry:
    """One contender in one row, with how it is measured."""

    name: str
    measure: Callable[[Stage], Figures]


@dataclass(frozen=True, slots=True)
class Target:
    """
    Attributes:
        value: from the rounds of the row, or of another row, to the figure that is judged.
        bound: at least this, or at most.
        row: whose rounds are compared besides, None for none.
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


def asked(
    contender: Contender,
    ask: peer_requests.Ask,
    material: Material,
    connections: int,
    images: int = 1,
    note: str = "",
) -> Entry:
    """A closed loop over HTTP or gRPC."""

    def measure(stage: Stage) -> Figures:
        server = stage.server(contender)
        seconds = _seconds(stage, material)
        return Figures.of(stage.ask(server, ask(server, material, images), connections, seconds=seconds))

    return Entry(contender.name + (f", {note}" if note else ""), measure)


def unserved(
    material: Material,
    processes: int,
    batch: int,
    *,
    decode: bool = True,
    cuda: bool = False,
    note: str = "",
) -> Entry:
    """Decode and engine alone, or the engine alone."""

    def measure(stage: Stage) -> Figures:
        seconds = _seconds(stage, material)
        return Figures.of_limit(
            limit(material, processes=processes, batch=batch, seconds=seconds, decode=decode, cuda=cuda)
        )

    many = f"{processes} process{'es' if processes > 1 else ''}, batches of {batch}"
    return Entry(note or f"no server: decode and ONNX Runtime, {many}", measure)


def started(contender: Contender, ask: peer_requests.Ask, material: Material) -> Entry:
    """Started afresh, asked a little, then weighed: whatever is loaded late is there."""

    def measure(stage: Stage) -> Figures:
        with running(contender) as server:
            stage.ask(server, ask(server, material, 1), 16)
            return Figures(ready=server.ready_seconds, pss=pss(server.processes) / MEGABYTE)

    return Entry(contender.name, measure)


def figure(rounds: Rounds, name: str, what: str) -> float:
    """The median over the rounds."""
    return median(_number(each[name], what) for each in rounds)


def ratio(rounds: Rounds, name: str, other: str, what: str) -> float:
    """The median of the rounds' own ratios: what slows a whole round down falls out."""
    return median(_number(each[name], what) / (_number(each[other], what) or nan) for each in rounds)


def at_least_times(entry: Entry, other: Entry, bound: float, what: str = "images") -> Target:
    value = partial(ratio, name=entry.name, other=other.name, what=what)
    return Target(f"{_WORDS[what]} ≥ {bound:g} x {other.name}", value, bound, at_least=True)


def at_most_times(entry: Entry, other: Entry, bound: float, what: str) -> Target:
    value = partial(ratio, name=entry.name, other=other.name, what=what)
    return Target(f"{_WORDS[what]} ≤ {bound:g} x {other.name}", value, bound, at_least=False)


def at_most(entry: Entry, bound: float, what: str, unit: str) -> Target:
    value = partial(figure, name=entry.name, what=what)
    return Target(f"{_WORDS[what]} of {entry.name} ≤ {bound:g} {unit}", value, bound, at_least=False)


def at_least(entry: Entry, bound: float, what: str, unit: str) -> Target:
    value = partial(figure, name=entry.name, what=what)
    return Target(f"{_WORDS[what]} of {entry.name} ≥ {bound:g} {unit}", value, bound, at_least=True)


def _seconds(stage: Stage, material: Material) -> float:
    return stage.pace.heavy_seconds if material.is_heavy else stage.pace.seconds


def _number(figures: Figures, what: str) -> float:
    value = getattr(figures, what)
    return nan if value is None else float(value)


_WORDS: Mapping[str, str] = {
    "images": "throughput",
    "rate": "throughput",
    "p50": "p50",
    "p99": "p99",
    "cpu": "CPU",
    "pss": "PSS",
    "ready": "start to ready",
    "refusal_p99": "p99 of refusals",
}
