"""One run: the rows and curves that are wanted, in order, and what became of each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from itertools import count

from benchmarks.cases import peer_requests
from benchmarks.cases.cases import DEVICE, LARGE, SMALL, Device, Large, Small
from benchmarks.cases.generator_limit import generator_row
from benchmarks.cases.measurements import Round, Row
from benchmarks.cases.scaling_curves import curves, grown
from benchmarks.host_info import Machine
from benchmarks.report import page, results
from benchmarks.report.figures import Figures
from benchmarks.server_pool import Stage
from benchmarks.servers import Running
from service.errors import ConfigurationError, ConvserveError
from service.loadgen.results.rate_search import Found, find_max_rate
from service.loadgen.types import Requests

GENERATOR, GROWTH, MAX_RATE = "generator", "growth", "max-rate"
OBJECTIVE_MS = 15.0
OPEN_CONNECTIONS = 256
FIRST_RATE = 1000.0


class Run:
    """Measures group by group; a row that fails is told of and leaves the others alone.

    Args:
        wanted: keys of rows, and GENERATOR, MAX_RATE, GROWTH.
    """

    def __init__(self, stage: Stage, wanted: Collection[str], options: argparse.Namespace) -> None:
        self._stage = stage
        self._wanted = wanted
        self._options = options
        self._rows: list[results.Document] = []
        self._skipped: list[str] = []
        self._pictures: list[str] = []
        self._rates: list[results.Document] = []
        self._growth: list[results.Document] = []

    def document(self, machine: Machine) -> results.Document:
        """Everything measured."""
        with ExitStack() as stack:
            for group in (self._generator, self._small, self._large, self._device, self._curves):
                group(stack)
                self._stage.clear()
        return {
            "machine": str(machine),
            "details": asdict(machine),
            "pace": asdict(self._stage.pace),
            "pictures": self._pictures,
            "rows": self._rows,
            "skipped": self._skipped,
            "max_rates": self._rates,
            "growth": self._growth,
        }

    def _generator(self, stack: ExitStack) -> None:
        self._measure([generator_row()])

    def _small(self, stack: ExitStack) -> None:
        if not self._wants(SMALL, MAX_RATE):
            return
        small = Small.prepared(stack)
        self._pictures.append(small.material.origin)
        self._measure(small.rows())
        if MAX_RATE in self._wanted and not self._options.quick:
            self._rates.extend(_max_rates(small, self._stage))

    def _large(self, stack: ExitStack) -> None:
        if not self._wants(LARGE):
            return
        try:
            large = Large.prepared(stack, self._options.alexnet, self._options.photos)
        except RuntimeError as error:
            self._skip(f"AlexNet: {error}")
            return
        self._pictures.append(large.published.origin)
        if large.int8 is None:
            self._skip("AlexNet int8: no such version has been published.")
        if large.plain is None:
            self._skip("AlexNet as converted: it could not be made; naive FastAPI runs the published graph.")
        self._measure(large.rows())

    def _device(self, stack: ExitStack) -> None:
        if not self._wants(DEVICE):
            return
        try:
            device = Device.prepared(stack, self._options.alexnet, self._options.photos)
        except (ConfigurationError, RuntimeError) as error:
            self._skip(f"CUDA: {error}")
            return
        self._measure(device.rows())

    def _curves(self, stack: ExitStack) -> None:
        if GROWTH not in self._wanted:
            return
        for curve in curves(stack):
            print(f"growth: {curve.title}", flush=True)
            measured = grown(curve, self._stage, quick=self._options.quick)
            self._growth.append(results.growth_document(measured))

    def _measure(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if row.key not in self._wanted:
                continue
            try:
                document = results.row_document(row, list(rounds(row, self._stage)))
            except (ConvserveError, RuntimeError, OSError) as error:
                self._skip(f"{row.title}: {error}")
                continue
            self._rows.append(document)
            print("\n" + "\n".join(page.row_table(document)), flush=True)

    def _wants(self, keys: Iterable[str], *more: str) -> bool:
        return not {*keys, *more}.isdisjoint(self._wanted)

    def _skip(self, reason: str) -> None:
        self._skipped.append(reason)
        print(f"not measured: {reason}", file=sys.stderr, flush=True)


def rounds(row: Row, stage: Stage) -> Iterator[Round]:
    """Each contender once a round; who begins changes from round to round."""
    order = list(row.entries)
    for _ in range(stage.pace.rounds):
        measured: dict[str, Figures] = {entry.name: entry.measure(stage) for entry in order}
        yield {entry.name: measured[entry.name] for entry in row.entries}
        order.append(order.pop(0))


def _max_rates(small: Small, stage: Stage) -> Iterator[results.Document]:
    for contender, ask in ((small.two, peer_requests.raw), (small.naive_two, peer_requests.naive_form)):
        server = stage.server(contender)
        found = _max_rate(stage, server, ask(server, small.material, 1))
        p99 = [trial.tail for trial in found.confirmations]
        print(f"{contender.name}: p99 <= {OBJECTIVE_MS:g} ms up to {found.rate} requests/s", flush=True)
        yield {"name": contender.name, "rate": found.rate, "p99": p99}


def _max_rate(stage: Stage, server: Running, requests: Requests) -> Found:
    seeds = count()  # other arrivals each time

    def tail(rate: float) -> float:
        return stage.ask(server, requests, OPEN_CONNECTIONS, rate=rate, seed=next(seeds)).tail

    return find_max_rate(tail, OBJECTIVE_MS, FIRST_RATE)
