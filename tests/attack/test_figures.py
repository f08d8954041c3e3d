"""The conditions of a run of attacks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.attack.attacker_process import Played
from tests.attack.figures import MEBIBYTE, Figures, WorkerFigures, broken, table
from tests.attack.polite import Answers
from tests.attack.polite_process import Observed, Probed

PROBED = Probed(polls=9, longest_wait=0.02, longest_raw_wait=0.03, failures=[], failed=0)
OBSERVED = Observed({"small images": Answers([0.002] * 99)}, {"/livez": PROBED})
WORKER = WorkerFigures(7, 100 * MEBIBYTE, 700 * MEBIBYTE, 150 * MEBIBYTE)
HELD = Figures(
    seconds=180.0,
    played=[Played("trailers", 3, 1.5, {"431": 3})],
    observed=OBSERVED,
    control=Observed({"small images": Answers([0.001] * 99)}, {}),
    workers=[WORKER],
    server_cpu_seconds=90.0,
    replaced=0,
    shutdown=3.0,
    max_shutdown=32.0,
    exit_code=-15,
    tracebacks=0,
)


def observed(**changes: object) -> Observed:
    return Observed(OBSERVED.polite, {"/livez": replace(PROBED, **changes)})  # type: ignore[arg-type]


def test_all_conditions_hold() -> None:
    assert broken(HELD) == []


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        (
            replace(HELD, observed=Observed({"small images": Answers([0.001], ["after 2.0 s: 429"])}, {})),
            "1 polite requests of small images failed, the first after 2.0 s: 429",
        ),
        (
            replace(HELD, observed=Observed({"small images": Answers([], [])}, {})),
            "no polite request of small images succeeded",
        ),
        (
            replace(HELD, observed=Observed({"small images": Answers([0.004] * 99)}, {})),
            "p99 of small images is 4.0 times that of the control; at most 3",
        ),
        (
            replace(HELD, observed=observed(failed=1, failures=["HTTP/1.1 503"])),
            "1 of 9 probes of /livez failed: HTTP/1.1 503",
        ),
        (
            replace(HELD, observed=observed(longest_wait=0.4)),
            "a probe of /livez waited 0.40 s; at most 0.1",
        ),
        (replace(HELD, workers=[replace(WORKER, peak=702 * MEBIBYTE)]), "worker 7 grew by 602 MiB"),
        (replace(HELD, workers=[replace(WORKER, end=152 * MEBIBYTE)]), "worker 7 kept 52 MiB"),
        (replace(HELD, replaced=1), "1 workers ended"),
        (replace(HELD, shutdown=33.0), "the server ended 33.0 s after SIGTERM; at most 32"),
        (replace(HELD, exit_code=1), "the server ended with 1; expected is the end by SIGTERM"),
        (replace(HELD, tracebacks=2), "the server logged 2 tracebacks"),
    ],
)
def test_broken_condition_is_the_only_reason(figures: Figures, reason: str) -> None:
    assert broken(figures) == [reason]


def test_table_names_each_attack_and_client() -> None:
    lines = table(HELD).splitlines()
    assert lines[1].split() == ["trailers", "3", "1.5", "3", "431"]
    assert lines[5].split() == ["small", "images", "99", "0", "2.0", "2.0", "1.0,", "1.0", "2.00"]
    assert lines[-3].endswith("100 MiB at the start, at most +600 MiB, +50 MiB after the attack")
