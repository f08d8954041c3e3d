"""The export of an ensemble with small members, on an image folder."""

from __future__ import annotations

import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from PIL import Image

from export.datasets import image_folder
from export.datasets.dataset import Examples
from export.datasets.image_files import Size
from export.errors import CheckpointError, DatasetError, ManifestError, PublishError, UsageError
from export.evaluation import metrics
from export.evaluation.verify import predict_onnx
from export.graph.rewrites.float16_weights import is_exact_in_float16
from export.pipelines.export_options import ExportOptions
from export.pipelines.pipeline import export_network
from export.pipelines.recipes import RECIPES
from tests.support.images import drawn_signs

SIDE = 48


def build(classes: int) -> keras.Model:
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(3, 7, strides=4, activation="relu")(inputs)
    outputs = keras.layers.Dense(classes, activation="softmax")(keras.layers.Flatten()(x))
    return keras.Model(inputs, outputs, name="small")


SMALL = replace(
    RECIPES["signnet"],
    build=build,
    parameters=lambda classes: 3 * (7 * 7 * 3 + 1) + (11 * 11 * 3 + 1) * classes,
    held_out=0.2,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("signs")
    drawn_signs.write_folders(home / "data", train=12, test=6)
    return home


@pytest.fixture(scope="module")
def options(home: Path) -> ExportOptions:
    return ExportOptions(
        data=home / "data",
        models=home / "models",
        epochs=2,
        batch_size=10,
        members=2,
        checkpoints=home / "kept",
        name="signs",
        description="Drawn signs.",
    )


@pytest.fixture(scope="module")
def version(options: ExportOptions) -> Path:
    return export_network("signs", SMALL, options, io.StringIO()).version


def document(version: Path) -> Any:
    return json.loads((version / "manifest.json").read_text())


def test_ensemble_is_published_as_one_graph(version: Path, home: Path) -> None:
    manifest = document(version)
    assert manifest["labels"] == ["no entry", "priority", "stop"]
    assert manifest["onnx"]["parameters"] == 2 * SMALL.parameters(3)
    assert manifest["weights"] == "trained"
    assert (manifest["input"]["height"], manifest["input"]["resize"]) == (SIDE, "stretch")
    test: Examples = image_folder.load(home / "data", Size(SIDE, SIDE, 3, "stretch")).test
    pixels, _ = test.read(np.arange(len(test)))
    outputs = predict_onnx((version / "model.onnx").read_bytes(), pixels)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-5)
    assert manifest["evaluation"]["accuracy"] == metrics.accuracy(outputs, test.labels)
    assert manifest["calibration"] is None


def test_ensemble_weights_are_float16_numbers(version: Path) -> None:
    model = onnx.load(version / "model.onnx")
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    kernels = [weight for weight in weights if weight.shape == (3, 3, 7, 7)]
    assert len(kernels) == 2
    assert all(map(is_exact_in_float16, kernels))


def test_model_card_matches_the_manifest(version: Path) -> None:
    card, manifest = (version / "README.md").read_text(), document(version)
    assert card.startswith("# signs\n")
    for text in (
        f"{manifest['evaluation']['accuracy']:.2%} on the 18 test images of data",
        "| members | 2, whose probabilities are averaged |",
        f"{manifest['onnx']['parameters']:,}",
        manifest["training"]["dataset_sha256"],
        "no entry, priority, stop.",
    ):
        assert text in card
    for name in ("curves.png", "confusion.png", "kernels.png"):
        assert f"]({name})" in card
        assert (version / name).is_file()
    assert "mistakes.png" not in card


def test_additional_member_reuses_existing_checkpoints(version: Path, options: ExportOptions) -> None:
    report = io.StringIO()
    more = export_network("signs", SMALL, replace(options, members=3, resume=True), report).version
    lines = report.getvalue().splitlines()[5:]
    assert [line for line in lines if line.startswith("member")] == [
        "member 1 of 3",
        "member 2 of 3",
        "member 3 of 3",
    ]
    assert [number for number, line in enumerate(lines) if " epoch " in line] == [3, 4]
    assert document(more)["onnx"]["parameters"] == 3 * SMALL.parameters(3)


def test_checkpoint_of_another_seed_is_rejected(version: Path, options: ExportOptions) -> None:
    with pytest.raises(CheckpointError, match="belongs to another training"):
        export_network("signs", SMALL, replace(options, seed=1, resume=True), io.StringIO())
    assert sorted(path.name for path in (options.models / "signs").iterdir())[-1] in ("1", "2")


def test_damaged_test_images_are_reported_and_skipped(
    options: ExportOptions, home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home / "data", tmp_path / "data")
    drawn_signs.write_folders(tmp_path / "data", train=30, test=6)
    (tmp_path / "data" / "test" / "stop" / "000.png").write_bytes(b"no image")
    report = io.StringIO()
    given = replace(options, data=tmp_path / "data", checkpoints=tmp_path, members=1, epochs=1)
    version = export_network("signs", SMALL, given, report).version
    assert document(version)["evaluation"]["examples"] == 17
    assert "test/stop/000.png (not an image)" in report.getvalue()


def test_random_weights_are_published_without_data(tmp_path: Path) -> None:
    options = ExportOptions(data=None, models=tmp_path, random_weights=True, classes=5)
    manifest = document(export_network("signs", SMALL, options, io.StringIO()).version)
    assert manifest["weights"] == "random"
    assert manifest["training"] is None
    assert manifest["evaluation"] is None
    assert len(manifest["labels"]) == 5
    assert "random: this version is untrained" in (tmp_path / "signs" / "1" / "README.md").read_text()


def test_example_is_an_image_of_the_own_test_set(version: Path, home: Path) -> None:
    with Image.open(version / "example.png") as image:
        example = np.asarray(image)
    test = image_folder.load(home / "data", Size(SIDE, SIDE, 3, "stretch")).test
    pixels, _ = test.read(np.arange(len(test)))
    (found,) = np.flatnonzero((pixels == example).all(axis=(1, 2, 3)))
    manifest = document(version)
    assert manifest["labels"][test.labels[found]] == manifest["example"]["label"]


def test_enough_held_out_images_calibrate_the_network(home: Path, tmp_path: Path) -> None:
    drawn_signs.write_folders(tmp_path / "data", train=10, test=6)
    drawn_signs.write_folders(tmp_path / "more", train=67, test=0)
    (tmp_path / "more" / "train").rename(tmp_path / "data" / "valid")
    options = ExportOptions(
        data=tmp_path / "data",
        models=tmp_path / "models",
        epochs=1,
        members=1,
        checkpoints=tmp_path / "kept",
        name="signs",
        description="Drawn signs.",
    )
    report = io.StringIO()
    manifest = document(export_network("signs", SMALL, options, report).version)
    calibration = manifest["calibration"]
    assert calibration["examples"] == 201
    assert calibration["temperature"] > 0
    assert calibration["error_after"] == manifest["evaluation"]["calibration_error"]
    assert " at temperature " in report.getvalue()
    assert "  class     training  validation (valid/)  test (test/)\n" in report.getvalue()


@pytest.mark.parametrize("field", ["name", "description"])
def test_own_data_set_needs_a_name_and_a_description(options: ExportOptions, field: str) -> None:
    report = io.StringIO()
    change: dict[str, Any] = {field: None}
    given = replace(options, **change)
    with pytest.raises(
        UsageError, match=f"data is not GTSRB, the data set of signs; give the model --{field}"
    ):
        export_network("signs", SMALL, given, report)
    assert report.getvalue() == ""  # before the training


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("name", "no name", "'no name' is not a valid model name"),
        ("description", os.fsdecode(b"caf\xe9"), "the description is not UTF-8"),
    ],
)
def test_invalid_identity_is_rejected_before_the_training(
    options: ExportOptions, field: str, value: str, error: str
) -> None:
    report = io.StringIO()
    change: dict[str, Any] = {field: value}
    with pytest.raises(ManifestError, match=error):
        export_network("signs", SMALL, replace(options, **change), report)
    assert report.getvalue() == ""


def test_other_labels_do_not_replace_a_version(version: Path, options: ExportOptions, tmp_path: Path) -> None:
    assert options.data is not None
    shutil.copytree(options.data, tmp_path / "data")
    shutil.copytree(version.parent, tmp_path / "models" / "signs")
    for part in ("train", "test"):
        (tmp_path / "data" / part / "stop").rename(tmp_path / "data" / part / "halt")
    report = io.StringIO()
    other = replace(
        options, data=tmp_path / "data", models=tmp_path / "models", members=1, epochs=1, checkpoints=tmp_path
    )
    with pytest.raises(PublishError) as refused:
        export_network("signs", SMALL, other, report)
    highest = max(int(path.name) for path in (tmp_path / "models" / "signs").iterdir())
    assert str(refused.value) == (
        f"{tmp_path / 'models' / 'signs' / str(highest)} has 3 labels (no entry, priority, stop), the new "
        "version would have 3 labels (halt, no entry, priority) and take its place; choose another --name, "
        "or pass --replace-labels"
    )
    assert report.getvalue() == ""
    random = replace(other, random_weights=True, classes=5)
    with pytest.raises(PublishError, match="would have 5 labels"):
        export_network("signs", SMALL, random, report)

    (tmp_path / "models" / "signs" / str(highest) / "manifest.json").write_bytes(b"{")
    if highest > 1:  # the highest version that can be read counts
        with pytest.raises(PublishError, match=f"signs/{highest - 1} has 3 labels"):
            export_network("signs", SMALL, other, report)
    replaced = export_network("signs", SMALL, replace(other, replace_labels=True), report).version
    assert replaced == tmp_path / "models" / "signs" / str(highest + 1)
    assert document(replaced)["labels"] == ["halt", "no entry", "priority"]


def test_unexpected_number_of_classes_is_rejected(options: ExportOptions) -> None:
    with pytest.raises(DatasetError, match="data has 3 classes, but --classes requires 3,755"):
        export_network("signs", SMALL, replace(options, classes=3755), io.StringIO())
