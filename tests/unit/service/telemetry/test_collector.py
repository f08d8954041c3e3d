"""The metrics of one process, and of several that share a folder."""

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

from service.system.shared_memory import forget
from service.telemetry.collector import GAUGES, MetricsCollector
from tests.conftest import ROOT
from tests.support.server.metrics_page import MetricsPage

BOUNDS = (0.5, 1.0, 2.0)
WRITER = """
import os, sys
from pathlib import Path
from service.telemetry.collector import MetricsCollector

collector = MetricsCollector("x", Path(sys.argv[1]))
print(os.getpid(), flush=True)
counter = collector.counter("things_total", "Things.", ("kind",))
for turn in range(100):
    counter.labels("one").inc()
    counter.labels(f"kind {turn}").inc(2)
collector.gauge("depth", "Depth.").labels().set(3)
collector.gauge("peak", "Peak.", merge="max").labels().set(float(sys.argv[2]))
collector.histogram("seconds", "Seconds.", bounds=(0.5, 1.0, 2.0)).labels().observe(1.0)
"""


def families(collector: MetricsCollector) -> None:
    collector.counter("things_total", "Things.", ("kind",))
    collector.gauge("depth", "Depth.")
    collector.gauge("peak", "Peak.", merge="max")
    collector.histogram("seconds", "Seconds.", bounds=BOUNDS)


def page(collector: MetricsCollector) -> MetricsPage:
    registry = CollectorRegistry()
    registry.register(collector)
    return MetricsPage.parse(as_text(registry).decode())


def test_metrics_of_several_processes_are_summed(tmp_path: Path) -> None:
    for peak in ("7", "5"):
        subprocess.run([sys.executable, "-c", WRITER, str(tmp_path), peak], cwd=ROOT, check=True)
    collector = MetricsCollector("x", tmp_path)
    families(collector)
    scraped = page(collector)
    assert scraped.total("x_things_total", kind="one") == 200
    assert scraped.total("x_things_total") == 200 + 2 * 100 * 2
    assert scraped.total("x_depth") == 6
    assert scraped.total("x_peak") == 7
    assert scraped.total("x_seconds_count") == scraped.total("x_seconds_bucket", le="1.0") == 2
    assert scraped.total("x_seconds_bucket", le="0.5") == 0
    assert scraped.total("x_seconds_sum") == 2


def test_ended_process_keeps_its_counts_but_not_its_gauges(tmp_path: Path) -> None:
    writer = [sys.executable, "-c", WRITER, str(tmp_path), "1"]
    pid = int(subprocess.run(writer, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    forget(tmp_path, GAUGES, pid)
    collector = MetricsCollector("x", tmp_path)
    families(collector)
    scraped = page(collector)
    assert (scraped.total("x_depth"), scraped.labels("x_depth")) == (0, [])
    assert scraped.total("x_things_total", kind="one") == 100


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
def test_metrics_without_children_are_exported(shared: bool, tmp_path: Path) -> None:
    collector = MetricsCollector("x", tmp_path if shared else None)
    families(collector)
    assert page(collector).types == {
        "x_things_total": "counter",
        "x_depth": "gauge",
        "x_peak": "gauge",
        "x_seconds": "histogram",
    }


@given(values=st.lists(st.floats(0, 3) | st.sampled_from(BOUNDS)))
def test_buckets_match_prometheus_client(values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    collector = MetricsCollector("x", None)
    ours.register(collector)
    child = collector.histogram("seconds", "Seconds.", bounds=BOUNDS).labels()
    histogram = Histogram("x_seconds", "Seconds.", buckets=BOUNDS, registry=theirs)
    for value in values:
        child.observe(value)
        histogram.observe(value)
    expected = [line for line in as_text(theirs).decode().splitlines() if "_created" not in line]
    assert as_text(ours).decode().splitlines() == expected


def test_labels_may_have_any_text(tmp_path: Path) -> None:
    collector = MetricsCollector("x", tmp_path)
    kinds = ['a "quoted" \\ one', "snow ☃", "new\nline", ""]
    for kind in kinds:
        collector.counter("things_total", "Things.", ("kind",)).labels(kind).inc()
    families(reader := MetricsCollector("x", tmp_path))
    assert sorted(each["kind"] for each in page(reader).labels("x_things_total")) == sorted(kinds)


def test_nan_is_exported() -> None:
    collector = MetricsCollector("x", None)
    collector.gauge("depth", "Depth.").labels().set(math.nan)
    assert math.isnan(page(collector).total("x_depth"))
