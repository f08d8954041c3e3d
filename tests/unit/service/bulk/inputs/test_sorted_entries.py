from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from service.bulk.inputs.sorted_entries import Entry, sorted_entries

NAMES = [f"image {number}.png" for number in range(20_000)]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("large")
    for name in NAMES:
        (folder / name).touch()
    return str(folder)


def test_entries_are_sorted_like_the_paths_of_their_files(tmp_path: Path) -> None:
    for name in ("sub", "sub0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").touch()
    (tmp_path / "sub.png").touch()
    (tmp_path / "link").symlink_to("sub")
    found = list(sorted_entries(str(tmp_path)))
    assert found == [Entry("link", True), Entry("sub.png", False), Entry("sub", True), Entry("sub0", True)]
    files = ["sub.png", "sub/x.png", "sub0/x.png"]
    assert files == sorted(files)


@pytest.mark.parametrize("run_names", [1, 7, 100])
def test_spilled_runs_give_the_same_order(tmp_path: Path, run_names: int) -> None:
    names = [os.fsdecode(name) for name in (b"\xff.png", b"a", b"\xc3\xa9.png", b"line\nbreak", b"z")]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    expected = list(sorted_entries(str(tmp_path)))
    assert [entry.name for entry in expected] == sorted([*names, "folder"])
    assert list(sorted_entries(str(tmp_path), run_names=run_names)) == expected


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(sorted_entries(str(tmp_path / "nowhere")))


@pytest.mark.measures
def test_memory_does_not_grow_with_the_folder(large: str) -> None:
    def peak(run_names: int) -> int:
        tracemalloc.start()
        count = sum(1 for _ in sorted_entries(large, run_names=run_names))
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count == len(NAMES)
        return highest

    assert peak(run_names=1000) < 1_000_000 < peak(run_names=1 << 17)
