from __future__ import annotations

import json
from pathlib import Path

import pytest

from export.errors import ManifestError
from export.importing.history import read_history

HISTORY = {
    "sparse_categorical_accuracy": [0.5, 0.75],
    "loss": [1.5, 1.0],
    "val_loss": [2.0, 1.5],
    "val_sparse_categorical_accuracy": [0.25, 0.5],
}


def write(folder: Path, content: str, encoding: str = "utf-8") -> Path:
    path = folder / "history"
    path.write_text(content, encoding=encoding)
    return path


def test_json_and_csv_have_the_same_curves(tmp_path: Path) -> None:
    lines = ["epoch," + ",".join(HISTORY)]
    lines += [f"{epoch}," + ",".join(str(values[epoch]) for values in HISTORY.values()) for epoch in range(2)]
    from_json = read_history(write(tmp_path, json.dumps(HISTORY), "utf-8-sig"))
    assert from_json == read_history(write(tmp_path, "\n".join(lines), "utf-8-sig"))
    assert from_json.accuracy == (0.5, 0.75)
    assert from_json.validation_accuracy == (0.25, 0.5)


def test_validation_may_be_absent(tmp_path: Path) -> None:
    curves = read_history(write(tmp_path, json.dumps({"loss": [1.0], "acc": [0.5]})))
    assert (curves.loss, curves.validation_loss) == ((1.0,), ())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has no learning curves"),
        ("{", "has no learning curves"),
        ("[1, 2]", "has no learning curves"),
        ('{"loss": [1.0]}', "has no learning curves"),
        ('{"loss": 1.0, "accuracy": 0.5}', "has no learning curves"),
        ("epoch,loss,accuracy\n0,1.0", "has no learning curves"),
        ('{"loss": [], "accuracy": []}', "of [0] epochs"),
        ('{"loss": [1.0, 0.5], "accuracy": [0.5]}', "of [1, 2] epochs"),
        ('{"loss": [NaN], "accuracy": [0.5]}', "a loss that is not finite"),
        ('{"loss": [1.0], "accuracy": [50]}', "an accuracy that is not from 0 to 1"),
    ],
)
def test_other_content_is_rejected(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(ManifestError) as rejected:
        read_history(write(tmp_path, content))
    assert words in str(rejected.value)


def test_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read: No such file"):
        read_history(tmp_path / "history")
