"""Warm-up and memory of an engine."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from service.batching.pending_request import Rows, Scores
from service.engine import session as module
from service.engine.session import Engine
from tests.support.models.gray_classifier import graph, level, rows
from tests.support.models.shipped import highest_version
from tests.support.server.procfs import memory, needs_procfs

MIB = 2**20


class RecordingEngine(Engine):
    """Records the size of each batch that it runs."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "probabilities", "cpu", threads=1)
        self.sizes: list[int] = []

    def run(self, rows: Rows) -> Scores:
        self.sizes.append(len(rows))
        return super().run(rows)


@pytest.fixture
def engine(tmp_path: Path) -> RecordingEngine:
    path = tmp_path / "model.onnx"
    path.write_bytes(graph())
    return RecordingEngine(path)


def test_warm_up_of_a_fast_network_runs_every_power_of_two(engine: RecordingEngine) -> None:
    engine.warm_up(rows(level(3)), 12)
    assert engine.sizes[:5] == [1, 2, 4, 8, 12]
    assert set(engine.sizes[5:]) == {1}
    assert 0 < engine.row_seconds < float("inf")


def test_warm_up_of_a_slow_network_stops_after_its_time(
    engine: RecordingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WARM_UP_SECONDS", 0.0)
    engine.warm_up(rows(level(3)), 12)
    assert set(engine.sizes) == {1}
    assert engine.row_seconds < float("inf")


@needs_procfs
@pytest.mark.measures
def test_shrink_arena_frees_the_memory_of_large_batches() -> None:
    """Measures in a new process, because this one may reuse free memory."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        grown, kept = pool.submit(grown_and_kept).result()
    assert grown > 40 * MIB
    assert kept < grown / 3  # the runtime's own memory differs between processors


def grown_and_kept() -> tuple[int, int]:
    """The bytes that a large batch adds to the process, and those that remain after `shrink_arena`."""
    engine = Engine(highest_version("convnet") / "model.onnx", "probabilities", "cpu", threads=1)
    row = np.zeros((1, 28, 28, 1), np.uint8)
    expected = engine.run(row)
    before = memory(os.getpid(), "RssAnon")
    engine.run(np.repeat(row, 512, axis=0))
    grown = memory(os.getpid(), "RssAnon") - before
    engine.shrink_arena(row)
    kept = memory(os.getpid(), "RssAnon") - before
    np.testing.assert_array_equal(engine.run(np.repeat(row, 64, axis=0)), np.repeat(expected, 64, axis=0))
    return grown, kept
