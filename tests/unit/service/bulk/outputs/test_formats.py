from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from service.bulk.outputs.csv_rows import CsvRows
from service.bulk.outputs.formats import choose_format
from service.bulk.outputs.json_rows import JsonRows
from service.bulk.outputs.parquet_rows import ParquetRows
from service.bulk.outputs.row_format import DamagedOutput, RowFormat
from service.bulk.outputs.text_rows import TextRows
from service.bulk.rows import Predictions, Rows, as_text
from service.errors import ConfigurationError

ODD = 'a,"b"\n\u00e9\x1b[2J\r'
FORMATS = (CsvRows, JsonRows, ParquetRows)


def rows(top_k: int, *, label: str = "cat") -> Rows:
    """The rows of a good, an unreadable and another good file."""
    labels = [label, "dog", "cow"][:top_k]
    indices, values = list(range(3))[:top_k], [0.5, 0.25, 0.125][:top_k]
    errors = {1: "it is broken"}
    predictions = Predictions(
        "net",
        "2",
        top_k,
        errors,
        [labels, (), labels],
        [indices, (), indices],
        [values, (), values],
    )
    return Rows(["a.png", "b.png", ODD], predictions)


@pytest.mark.parametrize("top_k", [1, 3])
@pytest.mark.parametrize("kind", FORMATS)
def test_saved_rows_are_those_that_were_written(kind: type[RowFormat], top_k: int) -> None:
    form = kind(top_k)
    content = form.header() + form.encode([rows(top_k)]) + form.encode([rows(top_k), rows(top_k)])
    saved = list(kind.saved(io.BytesIO(content)))
    assert [row.path for row in saved] == ["a.png", "b.png", ODD] * 3
    assert {(row.model, row.version) for row in saved} == {("net", "2")}
    assert [row.failed for row in saved] == [False, True, False] * 3
    assert {row.top_k for row in saved if not row.failed} == {top_k}
    assert saved[-1].end == len(content)


@pytest.mark.parametrize("kind", FORMATS)
def test_incomplete_row_at_the_end_is_left_out(kind: type[RowFormat]) -> None:
    form = kind(1)
    parts = [form.header(), *(form.encode([rows(1)]) for _ in range(2))]
    content = b"".join(parts)
    for length in range(len(content)):
        saved = list(kind.saved(io.BytesIO(content[:length])))
        whole = [row for row in kind.saved(io.BytesIO(content)) if row.end <= length]
        assert saved == whole, length


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n" * 9, b"path,label\na,b\n", b"{}\n", b"[1]\n", b"3\n"]
)
@pytest.mark.parametrize("kind", FORMATS)
def test_file_of_another_format_is_told_apart(kind: type[RowFormat], content: bytes) -> None:
    try:
        saved = list(kind.saved(io.BytesIO(content)))
    except DamagedOutput:
        return
    assert saved == []  # too short to tell


def test_csv_has_a_column_for_each_value() -> None:
    form = CsvRows(2)
    text = (form.header() + form.encode([rows(2)])).decode()
    first, second, third = csv.DictReader(io.StringIO(text, newline=""))
    assert first == {
        **{
            "path": "a.png",
            "model": "net",
            "version": "2",
            "label": "cat",
            "index": "0",
            "probability": "0.5",
        },
        **{"label_2": "dog", "index_2": "1", "probability_2": "0.25", "error": ""},
    }
    assert (second["error"], second["label"], second["label_2"]) == ("it is broken", "", "")
    assert third["path"] == ODD


def test_json_has_an_object_for_each_file() -> None:
    first, second, _ = map(json.loads, JsonRows(1).encode([rows(1)]).splitlines())
    start = {"model": "net", "version": "2"}
    assert first == {"path": "a.png", **start, "label": "cat", "index": 0, "probability": 0.5}
    assert second == {"path": "b.png", **start, "error": "it is broken"}
    several = json.loads(JsonRows(3).encode([rows(3)]).splitlines()[0])
    assert [each["label"] for each in several["top_k"]] == ["cat", "dog", "cow"]


def test_probability_that_is_no_number_is_null_in_json() -> None:
    predictions = Predictions("net", "2", 1, {}, [["cat"]], [[0]], [[math.nan]])
    assert b'"probability": null' in JsonRows(1).encode([Rows(["a.png"], predictions)])


@pytest.mark.parametrize(
    "form", [TextRows(1), JsonRows(1), CsvRows(1, for_terminal=True)], ids=lambda f: f.name
)
def test_labels_cannot_command_a_terminal(form: RowFormat) -> None:
    lines = form.encode([rows(1, label="\x1b]0;title\x07\x9b2J\u202e\n")]).decode()
    assert all(character.isprintable() for character in lines.replace("\n", ""))
    assert lines.count("\n") == (2 if isinstance(form, TextRows) else 3)


@pytest.mark.parametrize("top_k", [1, 3])
def test_parquet_has_typed_columns(tmp_path: Path, top_k: int) -> None:
    form = ParquetRows(top_k)
    partial = tmp_path / "x.part"
    partial.write_bytes(form.encode([rows(top_k)] * 50) + form.encode([rows(top_k)] * 50))
    form.complete(partial, tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.num_rows == 300
    types = {field.name: str(field.type) for field in table.schema}
    assert (types["path"], types["index"], types["probability"]) == ("string", "int32", "float")
    first, second = table.slice(0, 2).to_pylist()
    assert (first["label"], first["index"], first["probability"], first["error"]) == ("cat", 0, 0.5, None)
    assert (second["label"], second["probability"], second["error"]) == (None, None, "it is broken")
    if top_k > 1:
        assert [each["label"] for each in first["top_k"]] == ["cat", "dog", "cow"]
        assert second["top_k"] is None
    ParquetRows.reopen(tmp_path / "x.parquet", tmp_path / "again.part")
    with (tmp_path / "again.part").open("rb") as file:
        assert [row.path for row in ParquetRows.saved(file)] == ["a.png", "b.png", ODD] * 100


def test_parquet_without_rows_has_its_columns(tmp_path: Path) -> None:
    (tmp_path / "x.part").touch()
    ParquetRows(1).complete(tmp_path / "x.part", tmp_path / "x.parquet")
    assert pq.read_table(tmp_path / "x.parquet").column_names[-1] == "error"
    (tmp_path / "y.parquet").write_text("no parquet")
    with pytest.raises(DamagedOutput):
        ParquetRows.reopen(tmp_path / "y.parquet", tmp_path / "y.part")


@pytest.mark.parametrize(
    ("name", "output", "kind"),
    [
        (None, None, TextRows),
        (None, "-", TextRows),
        (None, "a/x.CSV", CsvRows),
        (None, "x.jsonl", JsonRows),
        (None, "x.parquet", ParquetRows),
        ("json", "x.csv", JsonRows),
        ("text", "x", TextRows),
    ],
)
def test_format_follows_the_suffix(name: str | None, output: str | None, kind: type[RowFormat]) -> None:
    assert choose_format(name, output) is kind


@pytest.mark.parametrize("output", ["x", "x.xlsx", ".csv"])
def test_suffix_of_no_format_is_refused(output: str) -> None:
    with pytest.raises(ConfigurationError, match="is of no format: give --format"):
        choose_format(None, output)


@pytest.mark.parametrize(
    ("path", "text"),
    [("a.png", "a.png"), ("\u00e9.png", "\u00e9.png"), ("\udcff\u00e9.png", "\\xff\u00e9.png")],
)
def test_bytes_that_are_not_utf8_are_written_as_escapes(path: str, text: str) -> None:
    assert as_text(path) == text
