from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import InvalidModel
from service.repository.version_folder import VersionFolder

MAX_BYTES = 1 << 20


def only(repository: Path) -> VersionFolder:
    [path] = repository.glob("*/[0-9]*")
    return VersionFolder(path.parent.name, path.name, path)


def edit(path: Path, change: dict[str, Any]) -> None:
    document = json.loads(path.read_text())
    document.update(change)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": "2"}, "names shades version 2, but is in the folder of shades version 1"),
        ({"format": 3}, "format: Input should be 1 or 2"),
        ({"format": 1}, "format 1 has no field 'f"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"labels": []}, "labels: List should have at least 1 item"),
        ({"max_batch_size": "16"}, "max_batch_size: Input should be a valid integer"),
    ],
)
def test_invalid_manifest_is_rejected(repository: Path, change: dict[str, Any], sentence: str) -> None:
    edit(repository / "shades/1/manifest.json", change)
    with pytest.raises(InvalidModel, match=sentence):
        only(repository).manifest()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"mean": [0.5]}, "a uint8 graph scales by itself"),
        ({"dtype": "float32", "mean": [0.5, 0.5]}, "mean has 2 values for 1 channels"),
        ({"dtype": "float32", "std": [0.0]}, "std contains a zero"),
    ],
)
def test_normalisation_must_fit_the_input(repository: Path, change: dict[str, Any], sentence: str) -> None:
    path = repository / "shades/1/manifest.json"
    edit(path, {"input": json.loads(path.read_text())["input"] | change})
    with pytest.raises(InvalidModel, match=sentence):
        only(repository).manifest()


def test_missing_manifest_is_rejected(repository: Path) -> None:
    (repository / "shades/1/manifest.json").unlink()
    with pytest.raises(InvalidModel, match=r"manifest\.json cannot be read: No such file"):
        only(repository).manifest()


def test_manifest_that_is_not_json_is_rejected(repository: Path) -> None:
    (repository / "shades/1/manifest.json").write_text("{")
    with pytest.raises(InvalidModel, match="the whole file: Invalid JSON"):
        only(repository).manifest()


def test_byte_order_mark_of_a_manifest_is_ignored(repository: Path) -> None:
    before = only(repository).manifest()
    path = repository / "shades/1/manifest.json"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert only(repository).manifest() == before


def test_graph_is_verified_by_its_digest(repository: Path) -> None:
    folder = only(repository)
    manifest = folder.manifest()
    assert folder.graph(manifest, MAX_BYTES).name == "model.onnx"
    with (folder.path / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(InvalidModel, match="is not the file that was published"):
        folder.graph(manifest, MAX_BYTES)
    (folder.path / "model.onnx").unlink()
    with pytest.raises(InvalidModel, match=r"model\.onnx cannot be read"):
        folder.graph(manifest, MAX_BYTES)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"inputs": np.zeros((1, 8, 8, 1), np.uint8)}, "cannot be read"),
        (
            {"inputs": np.zeros((1, 8, 8, 1), np.float32), "outputs": np.zeros((1, 10), np.float32)},
            "do not fit a model",
        ),
        (
            {"inputs": np.zeros((2, 8, 8, 1), np.uint8), "outputs": np.zeros((1, 10), np.float32)},
            "do not fit a model",
        ),
        (
            {"inputs": np.zeros((0, 8, 8, 1), np.uint8), "outputs": np.zeros((0, 10), np.float32)},
            "do not fit a model",
        ),
        ({"inputs": np.array([{}], dtype=object), "outputs": np.zeros((1, 10))}, "do not fit a model"),
    ],
)
def test_golden_outputs_must_fit_the_model(
    repository: Path, arrays: dict[str, np.ndarray[Any, Any]], sentence: str
) -> None:
    folder = only(repository)
    np.savez(folder.path / "golden.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(InvalidModel, match=sentence):
        folder.golden(folder.manifest())


@pytest.mark.parametrize("content", [b"", b"PK rubbish", b"\x93NUMPY"])
def test_damaged_golden_archive_is_rejected(repository: Path, content: bytes) -> None:
    folder = only(repository)
    (folder.path / "golden.npz").write_bytes(content)
    with pytest.raises(InvalidModel, match=r"golden\.npz cannot be read"):
        folder.golden(folder.manifest())
