"""An engine before its first request."""

from __future__ import annotations

from pathlib import Path

import pytest

from service import engine as module
from service.engine import Engine
from service.waiter import Rows, Scores
from tests.shades import graph, level, rows


class Recorded(Engine):
    """Remembers the sizes of the batches it ran."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "probabilities", "cpu", threads=1)
        self.sizes: list[int] = []

    def run(self, rows: Rows) -> Scores:
        self.sizes.append(len(rows))
        return super().run(rows)


@pytest.fixture
def engine(tmp_path: Path) -> Recorded:
    path = tmp_path / "model.onnx"
    path.write_bytes(graph())
    return Recorded(path)


def test_a_quick_network_is_warmed_up_at_every_power_of_two(engine: Recorded) -> None:
    engine.warm_up(rows(level(3)), 12)
    assert engine.sizes[:5] == [1, 2, 4, 8, 12]
    assert set(engine.sizes[5:]) == {1}
    assert 0 < engine.row_seconds < float("inf")


def test_a_slow_one_for_as_long_as_a_start_may_be_delayed(
    engine: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WARM_UP_SECONDS", 0.0)
    engine.warm_up(rows(level(3)), 12)
    assert set(engine.sizes) == {1}
    assert engine.row_seconds < float("inf")
