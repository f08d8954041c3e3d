from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from service.errors import ConfigurationError, InvalidModel
from service.repository.version_folder import UNKNOWN, VersionFolder, find_versions
from tests.support.models.gray_classifier import publish_shades

MAX_BYTES = 1 << 20


def only(repository: Path) -> VersionFolder:
    [folder] = find_versions(repository)
    return folder


def edit(path: Path, change: dict[str, Any]) -> None:
    document = json.loads(path.read_text())
    document.update(change)
    path.write_text(json.dumps(document))


def test_versions_are_found_by_name_and_number(tmp_path: Path) -> None:
    for name in ("b", "a"):
        for _ in range(11):
            publish_shades(tmp_path, name)
    found = [(folder.name, folder.version) for folder in find_versions(tmp_path)]
    assert found == [(name, str(number)) for name in "ab" for number in range(1, 12)]


def test_other_entries_are_skipped(repository: Path) -> None:
    for name in (".incoming-1", "shades/.hidden", "shades/latest", "shades/0", "ä/1"):
        (repository / name).mkdir(parents=True)
    (repository / "README.md").write_text("not a model")
    assert only(repository).version == "1"


def test_missing_repository_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere cannot be read: No such file"):
        list(find_versions(tmp_path / "nowhere"))


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


@contextmanager
def without_root_permissions() -> Iterator[None]:
    """Act as the user nobody if this is root, who may read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_unreadable_model_does_not_hide_others() -> None:
    with TemporaryDirectory() as folder:
        repository = Path(folder)
        repository.chmod(0o755)
        for name in ("a", "closed", "z"):
            publish_shades(repository, name)
        (repository / "closed").chmod(0)
        try:
            with without_root_permissions():
                found = list(find_versions(repository))
                assert [(each.name, each.version) for each in found] == [
                    ("a", "1"),
                    ("closed", UNKNOWN),
                    ("z", "1"),
                ]
                with pytest.raises(InvalidModel, match="cannot be read: Permission denied"):
                    found[1].manifest()
        finally:
            (repository / "closed").chmod(0o755)
