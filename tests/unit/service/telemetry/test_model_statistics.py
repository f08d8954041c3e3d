"""The statistics extension, of one process and of several that share a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from service.asgi.app import create_app
from service.config.settings import Settings
from service.system.shared_memory import IntTable
from service.telemetry.model_statistics import Field, ModelStatistics
from tests.conftest import ROOT
from tests.support.models.gray_classifier import configure, image, publish_shades, rows

WRITERS = 3
ROUNDS = 200
WRITER = f"""
import sys
from pathlib import Path
from service.system.shared_memory import IntTable
from service.telemetry.model_statistics import ModelStatistics

statistics = ModelStatistics("shades-1", 4, IntTable(Path(sys.argv[1]), "statistics"))
print("ready", flush=True)
sys.stdin.readline()
for _ in range({ROUNDS}):
    statistics.record_success(4e-3, decode=1e-3, queue=5e-4, compute=2e-3)
    statistics.record_failure(1e-3)
    statistics.record_batch(3, 2e-3)
"""


def table(folder: Path | None = None, *, owner: str | None = None) -> IntTable:
    return IntTable(folder, "statistics", owner=owner)


def test_statistics_of_one_process() -> None:
    statistics = ModelStatistics("shades-1", 4, table())
    statistics.record_success(0.01, decode=0.001, queue=0.002, compute=0.003)
    statistics.record_failure(0.5)
    statistics.record_batch(4, 0.25)
    statistics.record_batch(1, 0.125)
    totals = statistics.totals()
    log_fields = {
        field.name: int(totals.fields[field]) for field in Field if field is not Field.LAST_INFERENCE
    }
    assert log_fields == {
        "SUCCESS_COUNT": 1,
        "SUCCESS": 10_000_000,
        "FAIL_COUNT": 1,
        "FAIL": 500_000_000,
        "QUEUE": 2_000_000,
        "COMPUTE_INPUT": 1_000_000,
        "COMPUTE_INFER": 3_000_000,
        "COMPUTE_OUTPUT": 4_000_000,
        "INFERENCE_COUNT": 5,
        "EXECUTION_COUNT": 2,
    }
    assert totals.batches.tolist() == [0, 1, 0, 0, 1]
    assert totals.batch_ns.tolist() == [0, 125_000_000, 0, 0, 250_000_000]


@given(st.lists(st.integers(1, 64)))
def test_batch_counts_add_up(sizes: list[int]) -> None:
    statistics = ModelStatistics("x-1", 64, table())
    for size in sizes:
        statistics.record_batch(size, 0.0)
    totals = statistics.totals()
    assert totals.fields[Field.INFERENCE_COUNT] == sum(sizes)
    assert totals.fields[Field.EXECUTION_COUNT] == len(sizes)
    assert np.arange(65) @ totals.batches == sum(sizes)


def test_output_time_is_never_negative() -> None:
    statistics = ModelStatistics("x-1", 1, table())
    statistics.record_success(1.0, decode=0.5, queue=0.5, compute=0.5)
    assert statistics.totals().fields[Field.COMPUTE_OUTPUT] == 0


def test_statistics_of_workers_are_summed_including_ended_ones(tmp_path: Path) -> None:
    mine = ModelStatistics("shades-1", 4, table(tmp_path))
    mine.record_batch(2, 1e-3)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(WRITERS)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
        for writer in writers:  # all at once, with the others writing beside it
            assert writer.stdin is not None
            writer.stdin.write(b"\n")
            writer.stdin.close()
        for writer in writers:
            assert writer.wait(60) == 0
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            assert writer.stdout is not None
            writer.stdout.close()
    totals = mine.totals()
    n = WRITERS * ROUNDS
    assert totals.fields[Field.SUCCESS_COUNT] == totals.fields[Field.FAIL_COUNT] == n
    assert totals.fields[Field.COMPUTE_INFER] == n * 2_000_000
    assert totals.fields[Field.INFERENCE_COUNT] == 3 * n + 2
    assert totals.batches.tolist() == [0, 0, 1, n, 0]
    assert totals.batch_ns.tolist() == [0, 0, 1_000_000, n * 2_000_000, 0]


def test_last_inference_is_the_latest_of_all_workers(tmp_path: Path) -> None:
    mine = ModelStatistics("shades-1", 4, table(tmp_path))
    mine.record_batch(1, 0.0)
    latest = int(mine.totals().fields[Field.LAST_INFERENCE])
    other = table(tmp_path, owner="99999999").row("shades-1", len(Field) + 2 * 5)
    other[Field.LAST_INFERENCE] = latest + 1000
    assert mine.totals().fields[Field.LAST_INFERENCE] == latest + 1000


def test_versions_of_one_name_are_separate(tmp_path: Path) -> None:
    first, second = ModelStatistics("a-1", 4, table(tmp_path)), ModelStatistics("a-11", 4, table(tmp_path))
    first.record_batch(1, 0.0)
    assert second.totals().fields[Field.INFERENCE_COUNT] == 0


def test_names_that_end_like_a_version_are_separate(tmp_path: Path) -> None:
    short, long = ModelStatistics("a@1", 4, table(tmp_path)), ModelStatistics("a-1@2", 4, table(tmp_path))
    long.record_batch(1, 0.0)
    assert short.totals().fields[Field.INFERENCE_COUNT] == 0


def test_empty_file_of_a_starting_worker_is_skipped(tmp_path: Path) -> None:
    mine = ModelStatistics("shades@1", 4, table(tmp_path))
    mine.record_batch(1, 0.0)
    (tmp_path / "statistics-99999999-0").touch()
    assert mine.totals().fields[Field.INFERENCE_COUNT] == 1


def test_requests_are_counted_in_the_statistics(client: TestClient) -> None:
    tensor = {"name": "pixels", "shape": [40, 8, 8, 1], "datatype": "UINT8"}
    body = {"inputs": [{**tensor, "data": rows(*range(40)).ravel().tolist()}]}
    assert client.post("/v2/models/shades/infer", json=body).status_code == 200
    assert client.post("/classify", content=image(7)).status_code == 200
    assert client.post("/classify", content=b"no image").status_code == 400
    assert client.post("/v2/models/none/infer", json=body).status_code == 404
    [entry] = client.get("/v2/models/stats").json()["model_stats"]
    assert entry["inference_count"] == 41
    assert entry["execution_count"] == 4  # 16 + 16 + 8 rows, and one
    stats = entry["inference_stats"]
    counts = {name: duration["count"] for name, duration in stats.items()}
    assert counts == {
        "success": 2,
        "fail": 1,
        "queue": 2,
        "compute_input": 2,
        "compute_infer": 2,
        "compute_output": 2,
        "cache_hit": 0,
        "cache_miss": 0,
    }
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    assert sum(stats[part]["ns"] for part in parts) == pytest.approx(stats["success"]["ns"], abs=10)
    batches = {batch["batch_size"]: batch["compute_infer"]["count"] for batch in entry["batch_stats"]}
    assert batches == {1: 1, 8: 1, 16: 2}


def test_statistics_by_name_and_version(repository: Path) -> None:
    configure(repository, 'versions = "all"')
    publish_shades(repository)
    publish_shades(repository, "other")
    with TestClient(create_app(Settings(models=repository))) as client:

        def log_fields(path: str) -> list[tuple[str, str]]:
            entries = client.get(path).json()["model_stats"]
            return [(entry["name"], entry["version"]) for entry in entries]

        assert log_fields("/v2/models/stats") == [("other", "1"), ("shades", "1"), ("shades", "2")]
        assert log_fields("/v2/models/shades/stats") == [("shades", "1"), ("shades", "2")]
        assert log_fields("/v2/models/shades/versions/1/stats") == [("shades", "1")]
