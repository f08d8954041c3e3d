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
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cases.alexnet_models import CACHE
from benchmarks.cases.cases import KEYS
from benchmarks.host_info import Machine
from benchmarks.report import page, results
from benchmarks.run import GENERATOR, GROWTH, MAX_RATE, Run
from benchmarks.server_pool import Pace, Stage
from benchmarks.servers import ROOT

FULL = Pace(rounds=3, seconds=3.0, heavy_seconds=5.0, warm_up=0.6)
QUICK = Pace(rounds=1, seconds=0.6, heavy_seconds=2.0, warm_up=0.2)
ALL = (*KEYS, GENERATOR, MAX_RATE, GROWTH)


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
    with Stage(_pace(options)) as stage:
        document = Run(stage, options.rows or ALL, options).document(machine)
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


def _render(folder: Path) -> None:
    from benchmarks.report.plots import draw

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
