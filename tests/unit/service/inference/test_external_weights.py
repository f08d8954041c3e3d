"""Weights in files beside the graph: served if the manifest lists them with their digests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from onnx import ModelProto, TensorProto, helper

from service.errors import NothingToServe
from service.inference.registry import Registry
from tests.support.models.file_records import downgrade, record_files
from tests.support.models.gray_classifier import publish_shades
from tests.support.models.hostile_versions import edit_manifest, replace_graph
from tests.support.models.loaded import loaded

FILE = "weights.bin"


def opened(models: Path, **settings: int) -> Registry:
    return loaded(models, **settings).registry


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def listed(version: Path, sha256: str, name: str = FILE) -> None:
    record_files(version)
    onnx = json.loads((version / "manifest.json").read_text())["onnx"]
    edit_manifest(version, onnx={**onnx, "external": [{"file": name, "sha256": sha256}]})


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A version whose centers are in a file, as a constant of a node."""
    folder = publish_shades(tmp_path)
    model = ModelProto.FromString((folder / "model.onnx").read_bytes())
    (centers,) = (tensor for tensor in model.graph.initializer if tensor.name == "centers")
    model.graph.initializer.remove(centers)
    (folder / FILE).write_bytes(centers.raw_data)
    centers.ClearField("raw_data")
    centers.data_location = TensorProto.EXTERNAL
    centers.external_data.add(key="location", value=FILE)
    model.graph.node.insert(0, helper.make_node("Constant", [], ["centers"], value=centers))
    replace_graph(folder, model.SerializeToString())
    return folder


def test_listed_file_is_used(version: Path, tmp_path: Path) -> None:
    listed(version, digest(version / FILE))
    assert opened(tmp_path).resolve().name == "shades"


def test_unlisted_file_is_refused(version: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingToServe, match=r"takes weights from the file 'weights\.bin', which manifest"):
        opened(tmp_path)


def test_changed_file_is_refused(version: Path, tmp_path: Path) -> None:
    listed(version, digest(version / FILE))
    (version / FILE).write_bytes(bytes(40))
    with pytest.raises(NothingToServe, match=r"weights\.bin is not the file that was published"):
        opened(tmp_path)


@pytest.mark.parametrize("changed", [False, True])
def test_weights_are_verified_in_format_1(version: Path, tmp_path: Path, changed: bool) -> None:
    listed(version, digest(version / FILE))
    downgrade(version)
    if changed:
        (version / FILE).write_bytes(bytes(40))
        with pytest.raises(NothingToServe, match=r"weights\.bin is not the file that was published"):
            opened(tmp_path)
    else:
        assert opened(tmp_path).resolve().name == "shades"


def test_file_outside_the_version_cannot_be_listed(version: Path, tmp_path: Path) -> None:
    listed(version, digest(version / FILE), "../weights.bin")
    with pytest.raises(NothingToServe, match=r"onnx\.external\.0\.file: String should match pattern"):
        opened(tmp_path)


def test_size_of_all_files_is_limited(version: Path, tmp_path: Path) -> None:
    listed(version, digest(version / FILE))
    size = sum(path.stat().st_size for path in version.iterdir() if path.name != "manifest.json")
    assert opened(tmp_path, max_model_bytes=size).resolve().name == "shades"
    with pytest.raises(
        NothingToServe, match=f"its files have {size:,} bytes; at most {size - 1:,} are allowed"
    ):
        opened(tmp_path, max_model_bytes=size - 1)
