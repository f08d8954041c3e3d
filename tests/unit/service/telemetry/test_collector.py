"""The numbers behind the metrics page, of one process and of several that share a folder."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client import generate_latest as as_text

from service.telemetry.collector import MetricsCollector
from service.telemetry.shared_values import GAUGES, PAGE_BYTES, SharedValues, forget
from tests.conftest import ROOT
from tests.support.server.metrics_page import MetricsPage

BOUNDS = (0.5, 1.0, 2.0)
WRITER = """
import os, sys
from pathlib import Path
from service.telemetry.collector import MetricsCollector

ledger = MetricsCollector("x", Path(sys.argv[1]))
print(os.getpid(), flush=True)
counter = ledger.counter("things_total", "Things.", ("kind",))
for turn in range(100):
    counter.labels("one").inc()
    counter.labels(f"kind {turn}").inc(2)
ledger.gauge("depth", "Depth.").labels().set(3)
ledger.gauge("peak", "Peak.", merge="max").labels().set(float(sys.argv[2]))
ledger.histogram("seconds", "Seconds.", bounds=(0.5, 1.0, 2.0)).labels().observe(1.0)
"""


def families(ledger: MetricsCollector) -> None:
    ledger.counter("things_total", "Things.", ("kind",))
    ledger.gauge("depth", "Depth.")
    ledger.gauge("peak", "Peak.", merge="max")
    ledger.histogram("seconds", "Seconds.", bounds=BOUNDS)


def page(ledger: MetricsCollector) -> MetricsPage:
    registry = CollectorRegistry()
    registry.register(ledger)
    return MetricsPage.parse(as_text(registry).decode())


def test_several_processes_are_told_as_one(tmp_path: Path) -> None:
    for peak in ("7", "5"):
        subprocess.run([sys.executable, "-c", WRITER, str(tmp_path), peak], cwd=ROOT, check=True)
    ledger = MetricsCollector("x", tmp_path)
    families(ledger)
    log_fields = page(ledger)
    assert log_fields.total("x_things_total", kind="one") == 200
    assert log_fields.total("x_things_total") == 200 + 2 * 100 * 2
    assert log_fields.total("x_depth") == 6
    assert log_fields.total("x_peak") == 7
    assert log_fields.total("x_seconds_count") == log_fields.total("x_seconds_bucket", le="1.0") == 2
    assert log_fields.total("x_seconds_bucket", le="0.5") == 0
    assert log_fields.total("x_seconds_sum") == 2


def test_the_state_of_the_dead_is_forgotten_and_their_counts_stay(tmp_path: Path) -> None:
    writer = [sys.executable, "-c", WRITER, str(tmp_path), "1"]
    pid = int(subprocess.run(writer, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    forget(tmp_path, GAUGES, pid)
    ledger = MetricsCollector("x", tmp_path)
    families(ledger)
    log_fields = page(ledger)
    assert (log_fields.total("x_depth"), log_fields.labels("x_depth")) == (0, [])
    assert log_fields.total("x_things_total", kind="one") == 100


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
def test_a_family_that_nobody_has_written_is_told_of(shared: bool, tmp_path: Path) -> None:
    ledger = MetricsCollector("x", tmp_path if shared else None)
    families(ledger)
    assert page(ledger).types == {
        "x_things_total": "counter",
        "x_depth": "gauge",
        "x_peak": "gauge",
        "x_seconds": "histogram",
    }


@given(values=st.lists(st.floats(0, 3) | st.sampled_from(BOUNDS)))
def test_buckets_are_those_of_prometheus_client(values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    ledger = MetricsCollector("x", None)
    ours.register(ledger)
    cell = ledger.histogram("seconds", "Seconds.", bounds=BOUNDS).labels()
    histogram = Histogram("x_seconds", "Seconds.", buckets=BOUNDS, registry=theirs)
    for value in values:
        cell.observe(value)
        histogram.observe(value)
    expected = [line for line in as_text(theirs).decode().splitlines() if "_created" not in line]
    assert as_text(ours).decode().splitlines() == expected


def test_labels_of_any_text_come_back(tmp_path: Path) -> None:
    ledger = MetricsCollector("x", tmp_path)
    kinds = ['a "quoted" \\ one', "snow ☃", "new\nline", ""]
    for kind in kinds:
        ledger.counter("things_total", "Things.", ("kind",)).labels(kind).inc()
    families(reader := MetricsCollector("x", tmp_path))
    assert sorted(each["kind"] for each in page(reader).labels("x_things_total")) == sorted(kinds)


def test_a_row_longer_than_a_page_and_many_short_ones_keep_their_numbers(tmp_path: Path) -> None:
    values = SharedValues(tmp_path, "counts")
    lengths = [1, 7, PAGE_BYTES // 8, *[3] * 5000]
    for index, length in enumerate(lengths):
        values.allocate(f"row {index}", length)[length - 1] = index
    log_fields = {
        key: (len(numbers), numbers[-1]) for key, numbers in SharedValues(tmp_path, "counts").rows()
    }
    assert log_fields == {f"row {index}": (length, float(index)) for index, length in enumerate(lengths)}


def test_what_is_not_a_number_is_told_as_such() -> None:
    ledger = MetricsCollector("x", None)
    ledger.gauge("depth", "Depth.").labels().set(math.nan)
    assert math.isnan(page(ledger).total("x_depth"))
