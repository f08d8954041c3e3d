from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest

from service.system.shared_memory import ALL_PROCESSES, PAGE_BYTES, FloatTable, IntTable, forget


def test_key_has_one_row() -> None:
    table = IntTable(None, "counts")
    table.row("a", 2)[1] = 5
    assert table.row("a", 2).tolist() == [0, 5]
    assert list(table.rows()) == [("a", [0, 5])]


def test_rows_of_any_length_and_number_are_kept(tmp_path: Path) -> None:
    table = FloatTable(tmp_path, "counts")
    lengths = [1, 7, PAGE_BYTES // 8, *[3] * 5000]
    for index, length in enumerate(lengths):
        table.row(f"row {index} ☃", length)[length - 1] = index
    read = {key: (len(numbers), numbers[-1]) for key, numbers in FloatTable(tmp_path, "counts").rows()}
    assert read == {f"row {index} ☃": (length, float(index)) for index, length in enumerate(lengths)}


def test_process_has_its_own_rows_until_they_are_forgotten(tmp_path: Path) -> None:
    tables = [IntTable(tmp_path, "counts", owner=owner) for owner in ("1", "11")]
    for value, table in enumerate(tables, start=1):
        table.row("a", 1)[0] = value
    assert sorted(numbers[0] for _, numbers in tables[0].rows()) == [1, 2]
    forget(tmp_path, "counts", 1)
    assert [numbers[0] for _, numbers in tables[0].rows()] == [2]


def test_process_with_a_reused_id_continues_the_rows(tmp_path: Path) -> None:
    IntTable(tmp_path, "counts").row("a", 1)[0] = 5
    IntTable(tmp_path, "counts").row("a", 1)[0] += 1
    assert [(key, list(numbers)) for key, numbers in IntTable(tmp_path, "counts").rows()] == [("a", [6])]


def test_common_table_shares_rows_between_processes(tmp_path: Path) -> None:
    first, second = (IntTable(tmp_path, "rates", owner=ALL_PROCESSES) for _ in range(2))
    for number in range(PAGE_BYTES // 32):  # more than a page
        first.row(f"first {number}", 1)[0] = number
        assert second.row(f"first {number}", 1)[0] == number
        second.row(f"second {number}", 1)[0] = number
        assert first.row(f"second {number}", 1)[0] == number
    assert len(list(first.rows())) == 2 * (PAGE_BYTES // 32)


def test_rows_stay_in_the_process_if_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    table = IntTable(tmp_path, "counts")
    for key in ("a", "b"):
        table.row(key, 1)[0] = 5
    assert sorted((key, list(numbers)) for key, numbers in table.rows()) == [("a", [5]), ("b", [5])]
    assert list(tmp_path.iterdir()) == []
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "No space left" in record.getMessage()
