"""Compares this server with simpler ones.

python -m benchmarks                        all rows and curves, about twenty minutes
python -m benchmarks --quick                a short run of everything, about two minutes
python -m benchmarks --rows c64 many        only these rows
python -m benchmarks --publish              all rows and curves, written to the performance page of docs
python -m benchmarks --render               rebuild that page and its plots from the JSON
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cases.alexnet_models import CACHE
from benchmarks.cases.cases import KEYS
from benchmarks.host_info import HostInfo
from benchmarks.report import page, results
from benchmarks.run import GENERATOR, GROWTH, MAX_RATE, Run
from benchmarks.server_pool import ServerPool, Timing
from benchmarks.servers import ROOT

FULL = Timing(rounds=3, seconds=3.0, heavy_seconds=5.0, warm_up=0.6)
QUICK = Timing(rounds=1, seconds=0.6, heavy_seconds=2.0, warm_up=0.2)
ALL = (*KEYS, GENERATOR, MAX_RATE, GROWTH)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.render:
        _render(page.FOLDER)
        page.fill(results.read(page.FOLDER))
        return 0
    host = HostInfo.collect()
    print(host, flush=True)
    if not host.is_quiet:
        print(f"load average {host.load:g}: other processes distort the results", file=sys.stderr)
    with ServerPool(_timing(options)) as pool:
        document = Run(pool, options.rows or ALL, options).document(host)
    folder = page.FOLDER if options.publish else options.out
    if options.rows and (folder / results.FILE).exists():
        document = results.merged(results.read(folder), document)
    results.write(folder, document)
    _render(folder)
    if options.publish:
        page.fill(document)
    print("\n".join(page.targets(document["rows"])))
    print("\n".join(line for row in document["rows"] for line in page.invalid_responses(row)))
    return 0


def _render(folder: Path) -> None:
    from benchmarks.report.plots import draw

    document = results.read(folder)
    details = document["details"]
    draw(folder, document["growth"], f"{details['kind']}; commit {details['commit']}, {details['date']}")


def _timing(options: argparse.Namespace) -> Timing:
    default = QUICK if options.quick else FULL
    seconds = options.seconds or default.seconds
    warm_up = min(default.warm_up, seconds / 2)
    heavy = max(seconds, default.heavy_seconds if options.seconds is None else 2 * seconds)
    return Timing(options.rounds or default.rounds, seconds, heavy, warm_up)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--rows",
        nargs="+",
        choices=ALL,
        metavar="ROW",
        help=f"rows to measure: {', '.join(ALL)} (default: all)",
    )
    add("--quick", action="store_true", help="one short round, and three points of each curve")
    add("--rounds", type=int, metavar="N", help=f"measurements of each server (default: {FULL.rounds})")
    add(
        "--seconds", type=float, metavar="S", help=f"duration of each measurement (default: {FULL.seconds:g})"
    )
    add(
        "--out",
        type=Path,
        default=CACHE / "results",
        metavar="DIR",
        help="folder of the JSON and the plots (default: %(default)s)",
    )
    add(
        "--publish",
        action="store_true",
        help="write the performance page and its plots in docs/explanation instead",
    )
    add("--render", action="store_true", help="rebuild the page and plots, without measuring")
    add(
        "--alexnet",
        type=Path,
        metavar="DIR",
        help="model repository with AlexNet (default: publish it to a cache)",
    )
    photos = ROOT.parent / "shared" / "data" / "photos"
    add(
        "--photos",
        type=Path,
        default=photos,
        metavar="DIR",
        help="folder of JPEG files (default: %(default)s, or synthetic images)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
