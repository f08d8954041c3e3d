from __future__ import annotations

import tracemalloc

import pytest

from service.bulk.outputs.finished_rows import FinishedRows
from service.bulk.outputs.row_format import DamagedOutput, SavedRow


def row(path: str, *, version: str = "1", top_k: int | None = 1, end: int = 0) -> SavedRow:
    return SavedRow(path, "net", version, top_k, top_k is None, end)


def finished(*paths: str) -> FinishedRows:
    return FinishedRows(map(row, paths))


def left(rows: FinishedRows, *paths: str) -> list[str]:
    return [path for path in paths if not rows.contains(path)]


def test_files_with_a_row_are_left_out() -> None:
    rows = finished("a", "b", "c")
    assert left(rows, "a", "b", "c", "d", "e") == ["d", "e"]
    assert rows.unlisted == 0


def test_new_and_vanished_files_are_told_apart_in_any_order() -> None:
    rows = finished("a", "b", "c", "d", "e")
    assert left(rows, "0", "a", "e", "bb", "d", "b", "f") == ["0", "bb", "f"]
    assert rows.unlisted == 1


def test_each_row_stands_for_one_mention_of_a_file() -> None:
    assert left(finished("a", "a", "b"), "a", "a", "a", "b", "b") == ["a", "b"]
    rows = finished("x", "a", "a", "b")
    assert left(rows, "a", "b", "a", "a", "b") == ["a", "b"]
    assert rows.unlisted == 1


def test_rows_of_failed_files_count_too() -> None:
    rows = FinishedRows([row("a", top_k=None, end=5), row("b", end=9)])
    assert (len(rows), rows.failed, rows.end, rows.top_k) == (2, 1, 9, 1)
    assert left(rows, "a", "b") == []


def test_no_rows_contain_nothing() -> None:
    rows = FinishedRows()
    assert (len(rows), rows.end, rows.model, rows.top_k) == (0, 0, None, None)
    assert left(rows, "a") == ["a"]


@pytest.mark.parametrize("other", [row("b", version="2"), row("b", top_k=3)])
def test_rows_of_different_runs_are_refused(other: SavedRow) -> None:
    with pytest.raises(DamagedOutput):
        FinishedRows([row("a"), other])


@pytest.mark.measures
def test_a_row_takes_few_bytes() -> None:
    count = 50_000
    tracemalloc.start()
    rows = FinishedRows(row(f"/data/photos/{number}.png") for number in range(count))
    assert not rows.contains("new")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak / count < 100
