"""A short run of most attacks at once; `make attack` plays all of them for three minutes."""

from __future__ import annotations

import pytest

from tests.attack.catalog import NAMES
from tests.attack.chaos import Plan, run
from tests.attack.figures import MAX_PEAK, Figures
from tests.support.server.procfs import needs_procfs

# Their images take both cores, so that waits on a shared machine say nothing about the server.
LEFT_OUT = {"large form", "large images", "progressive scans", "unread answers"}

pytestmark = [needs_procfs, pytest.mark.measures]


@pytest.fixture(scope="module")
def figures() -> Figures:
    attacks = [name for name in NAMES if name not in LEFT_OUT]
    return run(Plan(attacks, seconds=6.0, warm_up=1.0, settle=0.0, control=0.0, last=0.0))


def test_no_polite_request_fails(figures: Figures) -> None:
    for answers in figures.observed.polite.values():
        assert answers.failures == []
        assert answers.latencies


def test_workers_survive_within_their_memory(figures: Figures) -> None:
    assert figures.replaced == 0
    for worker in figures.workers:
        assert worker.peak - worker.start <= MAX_PEAK


def test_server_answers_attackers_or_cuts_them_off(figures: Figures) -> None:
    outcomes = {played.name: played.outcomes for played in figures.played}
    assert "413" in outcomes["many parts"]
    assert "400" in outcomes["header parameters"]
    assert "431" in outcomes["header floods"]


def test_server_logs_no_traceback_and_ends_by_the_signal(figures: Figures) -> None:
    assert figures.tracebacks == 0
    assert figures.exit_code == -15
