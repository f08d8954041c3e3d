"""How long a server takes to become ready, and how much memory it then holds.

    python -m benchmarks.startup [--rounds N] [--json FILE]

Each round starts every contender once, in turns; the first round warms the disk cache and is not counted.
Memory is read after one picture has been classified, so that whatever is loaded late is there.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from .contenders import ROOT, Contender, contenders, running
from .machine import Machine

MODEL = ROOT / "models" / "convnet" / "1"
MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Measurement:
    """One start. Memory in bytes: `rss` is all that is resident, `pss` counts shared pages by their share."""

    contender: str
    ready_seconds: float
    rss: int
    pss: int


def measure(contender: Contender, picture: bytes) -> Measurement:
    with running(contender) as server:
        server.classify(picture)
        rss = _kilobytes(server.pid, "status", "VmRSS")
        pss = _kilobytes(server.pid, "smaps_rollup", "Pss")
        return Measurement(contender.name, server.ready_seconds, rss, pss)


def measure_all(model: Path, rounds: int) -> Iterator[Measurement]:
    """`rounds` of each contender; who begins changes from round to round."""
    picture = (model / "example.png").read_bytes()
    with contenders(model) as all_of_them:
        order = list(all_of_them)
        for contender in order:
            measure(contender, picture)
        for _ in range(rounds):
            yield from [measure(contender, picture) for contender in order]
            order.append(order.pop(0))


def table(measurements: Sequence[Measurement]) -> str:
    """The medians of each contender, in Markdown."""
    lines = ["| server | start to ready, s | RSS, MB | PSS, MB |", "| --- | ---: | ---: | ---: |"]
    for name in dict.fromkeys(m.contender for m in measurements):
        own = [m for m in measurements if m.contender == name]
        ready = median(m.ready_seconds for m in own)
        rss, pss = median(m.rss for m in own), median(m.pss for m in own)
        lines.append(f"| {name} | {ready:.2f} | {rss / MEGABYTE:.0f} | {pss / MEGABYTE:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Start-to-ready time and memory, beside a naive server's.")
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of the version to load")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="counted rounds (default 9)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement here")
    arguments = parser.parse_args()
    machine = Machine.here()
    measurements = list(measure_all(arguments.model, arguments.rounds))
    print(f"{machine}; medians of {arguments.rounds} rounds\n\n{table(measurements)}")
    if arguments.json is not None:
        document = {"machine": asdict(machine), "measurements": [asdict(m) for m in measurements]}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")


def _kilobytes(pid: int, file: str, field: str) -> int:
    """A field of /proc that is given in kB, in bytes."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/proc/{pid}/{file} has no {field}")
    return int(found[1]) * 1024


if __name__ == "__main__":
    main()
