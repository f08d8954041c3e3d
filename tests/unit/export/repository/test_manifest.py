from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from export.errors import ManifestError
from export.repository.manifest import (
    Calibration,
    Evaluation,
    Example,
    Features,
    FileRecord,
    GoldenRecord,
    InputSpec,
    Inspect,
    Manifest,
    OutputSpec,
    Parity,
    Quantization,
    TrainingRecord,
    Variant,
)

ROOT = Path(__file__).resolve().parents[4]

TRAINING = TrainingRecord("d", "0" * 64, 1, 1, 0, 1.5, {"keras": "3"})
EVALUATION = Evaluation("d", 1, 1.0, 1.0, 0.0)
PARITY = Parity(1, 0.0, True)
CALIBRATION = Calibration(10, 1.3, 0.02, 0.01)
QUANTIZATION = Quantization("1", "static", 100, 0.99)
INSPECT = Inspect("inspect.onnx", ("conv",))
FEATURES = Features("features", 8)
PARTS = ("training", "evaluation", "parity", "calibration", "quantization", "inspect", "features")
FILES = [FileRecord("golden.npz", 3, "cd"), FileRecord("model.onnx", 5, "abcd")]


def documented_fields() -> set[str]:
    """Return the field names in the table of docs/reference/model-repository.md."""
    table = (ROOT / "docs" / "reference" / "model-repository.md").read_text().partition("## manifest.json")[2]
    rows = [line.split("|")[1:4] for line in table.splitlines() if line.startswith("| `")]
    names = set()
    for field, _, meaning in rows:
        names.update(re.findall(r"`([\w.]+)`", field))
        if re.fullmatch(rf" `({'|'.join(PARTS)})` ", field):
            inner = re.findall(r"`(\w+)`", meaning)
            names.update(f"{field.strip(' `')}.{name}" for name in inner)
    return names


def fields_of(document: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in document.items():
        if isinstance(value, dict) and name != "libraries":
            yield from fields_of(value, f"{prefix}{name}.")
            if name in PARTS:
                yield name
        else:
            yield prefix + name


def test_document_has_exactly_the_documented_fields(manifest: Manifest) -> None:
    full = replace(
        manifest,
        example=Example("a.png", "this"),
        training=TRAINING,
        evaluation=EVALUATION,
        parity=PARITY,
        calibration=CALIBRATION,
        quantization=QUANTIZATION,
        inspect=INSPECT,
        features=FEATURES,
    )
    assert set(fields_of(full.document(1, FILES))) == documented_fields()


def test_document_adds_the_fields_of_the_publication(manifest: Manifest) -> None:
    document = manifest.document(7, FILES)
    assert document["version"] == "7"
    assert document["onnx"] == {"file": "model.onnx", "sha256": "abcd", "opset": 18, "parameters": 10}
    assert document["files"] == [asdict(each) for each in FILES]
    assert document["golden"] == {"file": "golden.npz", "tolerance": 1e-4}
    assert document["example"] is document["training"] is document["evaluation"] is document["parity"] is None


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "a/b", "..", "a" * 65, "ä", "a b"])
def test_invalid_name_is_rejected(manifest: Manifest, name: str) -> None:
    with pytest.raises(ManifestError, match="is not a valid model name"):
        replace(manifest, name=name)


def test_classifier_requires_labels_and_batch_size(manifest: Manifest) -> None:
    with pytest.raises(ManifestError, match="no labels"):
        replace(manifest, labels=())
    with pytest.raises(ManifestError, match="max_batch_size 0"):
        replace(manifest, max_batch_size=0)


def test_normalization_requires_float32_and_one_value_per_channel() -> None:
    with pytest.raises(ManifestError, match="rescales"):
        InputSpec("x", "uint8", "NHWC", 8, 8, 3, "fit", scale=1 / 255)
    with pytest.raises(ManifestError, match="std has 1 values for 3 channels"):
        InputSpec("x", "float32", "NCHW", 8, 8, 3, "fit", mean=(0, 0, 0), std=(1,))


@pytest.mark.parametrize(("height", "channels"), [(0, 1), (8, 2), (8, 4)])
def test_invalid_image_size_is_rejected(height: int, channels: int) -> None:
    with pytest.raises(ManifestError, match="is invalid"):
        InputSpec("x", "uint8", "NHWC", height, 8, channels, "fit")


def test_shape_follows_the_layout() -> None:
    assert InputSpec("x", "uint8", "NHWC", 4, 5, 3, "fit").shape() == (4, 5, 3)
    assert InputSpec("x", "uint8", "NCHW", 4, 5, 3, "fit").shape() == (3, 4, 5)


def test_maps_have_the_layout_and_size_of_the_input(manifest: Manifest) -> None:
    free = InputSpec("x", "uint8", "NHWC", None, None, 1, "fit")
    maps = replace(manifest, input=free, output=OutputSpec("maps", "maps"))
    assert free.shape() == (None, None, 1)
    assert maps.output_shape() == (None, None, 2)
    turned = replace(manifest, input=InputSpec("x", "uint8", "NCHW", 4, 5, 1, "fit"), output=maps.output)
    assert turned.output_shape() == (2, 4, 5)


def test_dynamic_size_requires_maps(manifest: Manifest) -> None:
    free = InputSpec("x", "uint8", "NHWC", None, None, 1, "fit")
    with pytest.raises(ManifestError, match="must have a fixed height and width"):
        replace(manifest, input=free)
    with pytest.raises(ManifestError, match="must both be set"):
        InputSpec("x", "uint8", "NHWC", None, 8, 1, "fit")


def test_single_class_has_the_kind_sigmoid(manifest: Manifest) -> None:
    with pytest.raises(ManifestError, match="of a single class are always 1"):
        replace(manifest, labels=("one",))
    assert replace(manifest, labels=("one",), output=OutputSpec("p", "sigmoid")).output_shape() == (1,)


def test_values_out_of_range_are_rejected() -> None:
    with pytest.raises(ManifestError, match="neither a provider nor a precision"):
        Variant(file="other.onnx", golden=GoldenRecord("golden.npz", 0.1))
    with pytest.raises(ManifestError, match="is invalid"):
        Calibration(10, 0.0, 0.1, 0.1)
    with pytest.raises(ManifestError, match="is invalid"):
        Calibration(10, 1.0, 0.1, 1.1)
    with pytest.raises(ManifestError, match="is invalid"):
        Quantization("one", "static", 100, 0.99)
    with pytest.raises(ManifestError, match="is invalid"):
        Quantization("1", "static", 100, 99.0)
