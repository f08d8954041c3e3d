"""Runs the selected rows and curves in order and collects their results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from itertools import count

from benchmarks.cases import peer_requests
from benchmarks.cases.cases import DEVICE, LARGE, SMALL, GpuCases, LargeModelCases, SmallModelCases
from benchmarks.cases.generator_limit import generator_row
from benchmarks.cases.measurements import Round, Row
from benchmarks.cases.scaling_curves import curves, measure_curve
from benchmarks.host_info import HostInfo
from benchmarks.report import page, results
from benchmarks.report.figures import Figures
from benchmarks.server_pool import ServerPool
from benchmarks.servers import RunningServer
from service.errors import ConfigurationError, ConvserveError
from service.loadgen.results.rate_search import MaxRate, find_max_rate
from service.loadgen.types import Requests

GENERATOR, GROWTH, MAX_RATE = "generator", "growth", "max-rate"
OBJECTIVE_MS = 15.0
OPEN_CONNECTIONS = 256
FIRST_RATE = 1000.0


class Run:
    """Measures the groups in order; reports and skips rows that fail.

    Args:
        wanted: keys of rows, GENERATOR, MAX_RATE and GROWTH.
    """

    def __init__(self, pool: ServerPool, wanted: Collection[str], options: argparse.Namespace) -> None:
        self._pool = pool
        self._wanted = wanted
        self._options = options
        self._rows: list[results.Document] = []
        self._skipped: list[str] = []
        self._images: list[str] = []
        self._rates: list[results.Document] = []
        self._growth: list[results.Document] = []

    def document(self, host: HostInfo) -> results.Document:
        """Measure everything, and return the results as JSON data."""
        with ExitStack() as stack:
            for group in (self._generator, self._small, self._large, self._device, self._curves):
                group(stack)
                self._pool.stop_all()
        return {
            "machine": str(host),
            "details": asdict(host),
            "pace": asdict(self._pool.timing),
            "images": self._images,
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
        small = SmallModelCases.prepare(stack)
        self._images.append(small.inputs.origin)
        self._measure(small.rows())
        if MAX_RATE in self._wanted and not self._options.quick:
            self._rates.extend(_max_rates(small, self._pool))

    def _large(self, stack: ExitStack) -> None:
        if not self._wants(LARGE):
            return
        try:
            large = LargeModelCases.prepare(stack, self._options.alexnet, self._options.photos)
        except RuntimeError as error:
            self._skip(f"AlexNet: {error}")
            return
        self._images.append(large.published.origin)
        if large.int8 is None:
            self._skip("AlexNet int8: no such version is published.")
        if large.plain is None:
            self._skip("AlexNet as converted: the conversion failed; naive FastAPI runs the published graph.")
        self._measure(large.rows())

    def _device(self, stack: ExitStack) -> None:
        if not self._wants(DEVICE):
            return
        try:
            device = GpuCases.prepare(stack, self._options.alexnet, self._options.photos)
        except (ConfigurationError, RuntimeError) as error:
            self._skip(f"CUDA: {error}")
            return
        self._measure(device.rows())

    def _curves(self, stack: ExitStack) -> None:
        if GROWTH not in self._wanted:
            return
        for curve in curves(stack):
            print(f"growth: {curve.title}", flush=True)
            measured = measure_curve(curve, self._pool, quick=self._options.quick)
            self._growth.append(results.curve_document(measured))

    def _measure(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if row.key not in self._wanted:
                continue
            try:
                document = results.row_document(row, list(rounds(row, self._pool)))
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


def rounds(row: Row, pool: ServerPool) -> Iterator[Round]:
    """Measure each entry once per round; each round begins with another entry."""
    order = list(row.entries)
    for _ in range(pool.timing.rounds):
        measured: dict[str, Figures] = {entry.name: entry.measure(pool) for entry in order}
        yield {entry.name: measured[entry.name] for entry in row.entries}
        order.append(order.pop(0))


def _max_rates(small: SmallModelCases, pool: ServerPool) -> Iterator[results.Document]:
    for server, build in ((small.two, peer_requests.raw), (small.fastapi_two, peer_requests.fastapi_form)):
        running = pool.server(server)
        found = _max_rate(pool, running, build(running, small.inputs, 1))
        p99 = [trial.tail for trial in found.confirmations]
        print(f"{server.name}: p99 <= {OBJECTIVE_MS:g} ms up to {found.rate} requests/s", flush=True)
        yield {"name": server.name, "rate": found.rate, "p99": p99}


def _max_rate(pool: ServerPool, server: RunningServer, requests: Requests) -> MaxRate:
    seeds = count()  # different arrivals in each run

    def tail(rate: float) -> float:
        return pool.measure(server, requests, OPEN_CONNECTIONS, rate=rate, seed=next(seeds)).tail

    return find_max_rate(tail, OBJECTIVE_MS, FIRST_RATE)
