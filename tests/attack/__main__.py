"""Plays all attacks at once on loopback, while polite clients ask: `make attack`.

python -m tests.attack                              all attacks for three minutes, about six minutes in all
python -m tests.attack --seconds 20 --settle 5      a short run
python -m tests.attack --only trailers "large form" only these attacks
python -m tests.attack --each --seconds 10          one attack after the other, each against its own server
python -m tests.attack --single --seconds 600       random single connections, each judged by memory and waits
python -m tests.attack --single --seed 7 --count 1  the connection of this seed again

The exit code is 1 if a condition does not hold. The figures are written to build/attack.json.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from tests.attack.catalog import NAMES
from tests.attack.chaos import Plan, run
from tests.attack.figures import Figures, broken, table
from tests.attack.single.search import search
from tests.support.server.server_process import ROOT

CONTROL = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the server and the attackers end too
    if options.single:
        return _search(options)
    names = options.only or NAMES
    runs = [_play(options, group) for group in ([[name] for name in names] if options.each else [names])]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    documents = [{**asdict(figures), "broken": broken(figures)} for figures in runs]
    options.out.write_text(json.dumps(documents, indent=1))
    return int(any(map(broken, runs)))


def _play(options: argparse.Namespace, names: Sequence[str]) -> Figures:
    control = min(options.seconds, CONTROL) if options.control is None else options.control
    figures = run(
        Plan(names, options.seconds, settle=options.settle, control=control, workers=options.workers)
    )
    print(table(figures))
    for reason in broken(figures):
        print(f"FAILED: {reason}")
    print(flush=True)
    return figures


def _search(options: argparse.Namespace) -> int:
    harmful = 0
    for finding in islice(search(options.seed, options.seconds), options.count):
        harmful += finding.is_harmful
        print("FAILED: " if finding.is_harmful else "", finding, sep="", flush=True)
    return int(harmful > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.attack",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=180.0, help="length of the attack")
    parser.add_argument("--settle", type=float, default=60.0, help="time until the last look at the memory")
    parser.add_argument("--control", type=float, help="length of the control run; 0 leaves it out")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="ATTACK", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--each", action="store_true", help="play one attack after the other")
    parser.add_argument("--single", action="store_true", help="play random single connections")
    parser.add_argument("--seed", type=int, default=1, help="of the first single connection")
    parser.add_argument("--count", type=int, help="the number of single connections, if there is time")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "attack.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
