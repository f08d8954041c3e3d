from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.errors import ManifestError, PublishError
from export.repository.manifest import Example, FileRecord, Manifest
from export.repository.publish import check_writable, publish

GRAPH = b"not opened here"
INPUTS = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
OUTPUTS = np.array([[1, 0], [0, 1], [0.5, 0.5]], dtype=np.float32)


def put(models: Path, manifest: Manifest, **files: bytes) -> Path:
    named = {f"{name}.png": content for name, content in files.items()}
    return publish(models, manifest, GRAPH, INPUTS, OUTPUTS, named)


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_version_contains_the_given_files(tmp_path: Path, manifest: Manifest) -> None:
    manifest = replace(manifest, example=Example("try.png", "that"))
    version = put(tmp_path / "models", manifest, **{"try": b"a image", "curves": b"a plot"})

    assert version == tmp_path / "models" / "tiny" / "1"
    assert everything(version) == ["curves.png", "golden.npz", "manifest.json", "model.onnx", "try.png"]
    assert (version / "model.onnx").read_bytes() == GRAPH
    assert (version / "try.png").read_bytes() == b"a image"
    document = json.loads((version / "manifest.json").read_text())
    files = [path for path in sorted(version.iterdir()) if path.name != "manifest.json"]
    records = [
        FileRecord(path.name, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in files
    ]
    assert document == json.loads(json.dumps(manifest.document(1, records)))
    with np.load(version / "golden.npz", allow_pickle=False) as golden:
        np.testing.assert_array_equal(golden["inputs"], INPUTS)
        np.testing.assert_array_equal(golden["outputs"], OUTPUTS)
        assert golden["inputs"].dtype == np.uint8
        assert golden["outputs"].dtype == np.float32


def test_same_content_gives_the_same_bytes(tmp_path: Path, manifest: Manifest) -> None:
    one, other = (put(tmp_path / side, manifest) for side in ("one", "other"))
    for name in everything(one):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_next_version_is_the_highest_plus_one(tmp_path: Path, manifest: Manifest) -> None:
    for name in ("1", "9", "10", "notes", ".incoming-0", "²"):
        (tmp_path / "tiny" / name).mkdir(parents=True)
    assert put(tmp_path, manifest).name == "11"
    assert json.loads((tmp_path / "tiny" / "11" / "manifest.json").read_text())["version"] == "11"


def test_repository_contains_only_versions(tmp_path: Path, manifest: Manifest) -> None:
    put(tmp_path, manifest)
    put(tmp_path, manifest)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
    assert sorted(path.name for path in (tmp_path / "tiny").iterdir()) == ["1", "2"]


def test_concurrent_publishers_get_different_versions(tmp_path: Path, manifest: Manifest) -> None:
    together, published = threading.Barrier(8), []

    def publisher() -> None:
        together.wait()
        for _ in range(5):
            published.append(put(tmp_path, manifest))

    threads = [threading.Thread(target=publisher) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(int(version.name) for version in published) == list(range(1, 41))
    for version in published:
        document = json.loads((version / "manifest.json").read_text())
        assert document["version"] == version.name


def test_lost_race_uses_the_next_version(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process publishes between the choice of the version and the rename."""
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        (target / "model.onnx").parent.mkdir()
        (target / "model.onnx").write_bytes(b"theirs")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    assert put(tmp_path, manifest).name == "2"
    assert (tmp_path / "tiny" / "1" / "model.onnx").read_bytes() == b"theirs"


def failing(error: BaseException, after: int) -> Callable[[int], None]:
    """Return an fsync that fails after `after` calls."""
    calls = iter(range(1000))

    def fsync(_: int) -> None:
        if next(calls) >= after:
            raise error

    return fsync


@pytest.mark.parametrize("after", range(5))
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug")])
def test_failed_publication_leaves_no_files(
    error: BaseException, after: int, tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(error, after))
    with pytest.raises(type(error)):
        put(tmp_path, manifest, curves=b"a plot")
    assert everything(tmp_path) == []


def test_full_disk_keeps_existing_versions(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = put(tmp_path, manifest)
    before = everything(tmp_path)
    monkeypatch.setattr(os, "fsync", failing(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 2))
    with pytest.raises(PublishError, match=r"cannot write the model repository .*: No space left on device"):
        put(tmp_path, manifest)
    assert everything(tmp_path) == before
    assert first.is_dir()


def test_check_writable_rejects_an_unwritable_repository(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    for models in (file, file / "models"):
        with pytest.raises(PublishError, match=f"cannot write the model repository {models}"):
            check_writable(models)


def test_check_writable_leaves_an_empty_repository(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "models")
    assert everything(tmp_path) == ["new", "new/models"]


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz", "manifest.json", ".hidden", "../x", "a/b", ""])
def test_reserved_file_name_is_rejected(name: str, tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(ManifestError, match="is not a valid file name"):
        publish(tmp_path, manifest, GRAPH, INPUTS, OUTPUTS, {name: b""})
    assert everything(tmp_path) == []


def test_example_requires_a_file_and_a_label(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(ManifestError, match=r"the file try\.png of the manifest is not among the files"):
        put(tmp_path, replace(manifest, example=Example("try.png", "this")))
    with pytest.raises(ManifestError, match="label 'it' is not one of the model's labels"):
        put(tmp_path, replace(manifest, example=Example("try.png", "it")), **{"try": b""})


def test_golden_arrays_must_match_the_manifest(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(ManifestError, match=r"golden inputs are float32 \[3, 2, 2, 1\]"):
        publish(tmp_path, manifest, GRAPH, INPUTS.astype(np.float32), OUTPUTS)
    with pytest.raises(ManifestError, match=r"golden inputs are uint8 \[3, 2, 2\]"):
        publish(tmp_path, manifest, GRAPH, INPUTS[..., 0], OUTPUTS)
    with pytest.raises(ManifestError, match=r"expected \[3, 2\] for 3 inputs and 2 labels"):
        publish(tmp_path, manifest, GRAPH, INPUTS, OUTPUTS[:2])


def test_golden_archive_needs_no_pickle(tmp_path: Path, manifest: Manifest) -> None:
    content = (put(tmp_path, manifest) / "golden.npz").read_bytes()
    with np.load(io.BytesIO(content), allow_pickle=False) as golden:
        assert sorted(golden) == ["inputs", "outputs"]
