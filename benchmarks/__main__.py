"""Measure this server beside its peers.

python -m benchmarks                        every row and curve, about twenty minutes
python -m benchmarks --quick                the same in short, in some two minutes: do they work?
python -m benchmarks --rows c64 many        some rows, nothing else
python -m benchmarks --publish              every row and curve into docs/performance.md
python -m benchmarks --render               that page and its plots anew from their JSON
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import count
from pathlib import Path

from service.bench.plan import Requests
from service.bench.rate_search import Found, find_max_rate

from . import asking, page, results
from .contenders import ROOT, Running
from .figures import Figures
from .generator_limit import generator_row
from .growth import curves, grown
from .machine import Machine
from .networks import CACHE
from .rows import Round, Row
from .stage import Pace, Stage
from .table import KEYS, LARGE, SMALL, Large, Small

FULL = Pace(rounds=3, seconds=3.0, heavy_seconds=5.0, warm_up=0.6)
QUICK = Pace(rounds=1, seconds=0.6, heavy_seconds=2.0, warm_up=0.2)
GENERATOR, GROWTH, MAX_RATE = "generator", "growth", "max-rate"
ALL = (*KEYS, GENERATOR, MAX_RATE, GROWTH)
OBJECTIVE_MS = 15.0
OPEN_CONNECTIONS = 256
FIRST_RATE = 1000.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.render:
        _render(page.FOLDER)
        page.fill(results.read(page.FOLDER))
        return 0
    machine = Machine.here()
    print(machine, flush=True)
    if not machine.is_quiet:
        print("The machine has other work: the figures are worth little.", file=sys.stderr)
    document = _measure(options, machine)
    folder = page.FOLDER if options.publish else options.out
    if options.rows and (folder / results.FILE).exists():
        document = results.merged(results.read(folder), document)
    results.write(folder, document)
    _render(folder)
    if options.publish:
        page.fill(document)
    print("\n".join(page.targets(document["rows"])))
    print("\n".join(line for row in document["rows"] for line in page.complaints(row)))
    return 0


def _measure(options: argparse.Namespace, machine: Machine) -> results.Document:
    pace = _pace(options)
    wanted = options.rows or ALL
    rows: list[results.Document] = []
    skipped: list[str] = []
    pictures: list[str] = []
    rates: list[results.Document] = []
    growth: list[results.Document] = []
    with ExitStack() as stack, Stage(pace) as stage:
        if GENERATOR in wanted:
            rows.append(_told(generator_row(), stage))
            stage.clear()
        if set(wanted) & {*SMALL, MAX_RATE}:
            small = Small.prepared(stack)
            pictures.append(small.material.origin)
            rows.extend(_told(row, stage) for row in small.rows() if row.key in wanted)
            if MAX_RATE in wanted and not options.quick:
                rates.extend(_max_rates(small, stage))
            stage.clear()
        if set(wanted) & set(LARGE):
            try:
                large = Large.prepared(stack, options.alexnet, options.photos)
            except RuntimeError as error:
                skipped.append(f"AlexNet: {error}")
                print(skipped[-1], file=sys.stderr, flush=True)
            else:
                pictures.append(large.published.origin)
                rows.extend(_told(row, stage) for row in large.rows() if row.key in wanted)
                if large.int8 is None:
                    skipped.append("AlexNet int8: no such version has been published.")
            stage.clear()
        if GROWTH in wanted:
            for curve in curves(stack):
                print(f"growth: {curve.title}", flush=True)
                growth.append(results.growth_document(grown(curve, stage, quick=options.quick)))
    return {
        "machine": str(machine),
        "details": asdict(machine),
        "pace": asdict(pace),
        "pictures": pictures,
        "rows": rows,
        "skipped": skipped,
        "max_rates": rates,
        "growth": growth,
    }


def _told(row: Row, stage: Stage) -> results.Document:
    document = results.row_document(row, list(_rounds(row, stage)))
    print("\n" + "\n".join(page.row_table(document)), flush=True)
    return document


def _rounds(row: Row, stage: Stage) -> Iterator[Round]:
    """Each contender once a round; who begins changes from round to round."""
    order = list(row.entries)
    for _ in range(stage.pace.rounds):
        measured: dict[str, Figures] = {entry.name: entry.measure(stage) for entry in order}
        yield {entry.name: measured[entry.name] for entry in row.entries}
        order.append(order.pop(0))


def _max_rates(small: Small, stage: Stage) -> Iterator[results.Document]:
    for contender, ask in ((small.two, asking.raw), (small.naive_two, asking.naive_form)):
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


def _render(folder: Path) -> None:
    from .plots import draw

    document = results.read(folder)
    details = document["details"]
    draw(folder, document["growth"], f"{details['kind']}; commit {details['commit']}, {details['date']}")


def _pace(options: argparse.Namespace) -> Pace:
    usual = QUICK if options.quick else FULL
    seconds = options.seconds or usual.seconds
    warm_up = min(usual.warm_up, seconds / 2)
    heavy = max(seconds, usual.heavy_seconds if options.seconds is None else 2 * seconds)
    return Pace(options.rounds or usual.rounds, seconds, heavy, warm_up)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rows", nargs="+", choices=ALL, metavar="ROW", help=f"of {', '.join(ALL)}")
    add("--quick", action="store_true", help="one short round, few points of each curve")
    add("--rounds", type=int, metavar="N", help=f"each contender so many times (default {FULL.rounds})")
    add("--seconds", type=float, metavar="S", help=f"of each measurement (default {FULL.seconds:g})")
    add("--out", type=Path, default=CACHE / "results", metavar="DIR", help="for JSON and plots")
    add("--publish", action="store_true", help="write docs/performance.md and docs/performance/ instead")
    add("--render", action="store_true", help="measure nothing")
    add("--alexnet", type=Path, metavar="DIR", help="a repository with AlexNet; else it is published anew")
    photos = ROOT.parent / "shared" / "data" / "photos"
    add("--photos", type=Path, default=photos, metavar="DIR", help="JPEGs to classify; else drawn ones")
    return parser


if __name__ == "__main__":
    sys.exit(main())
