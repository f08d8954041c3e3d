"""A committee on any folder of classes, with columns far smaller than those that win competitions."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest

from export.datasets import image_folder
from export.datasets.dataset import Examples
from export.datasets.image_files import Size
from export.errors import CheckpointError, DatasetError
from export.evaluation import metrics
from export.evaluation.verify import onnx_answers
from export.graph.rewrites.float16_weights import fits
from export.pipelines.export_options import Order
from export.pipelines.pipeline import export
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
def order(home: Path) -> Order:
    return Order(
        data=home / "data",
        models=home / "models",
        epochs=2,
        batch_size=10,
        columns=2,
        checkpoints=home / "kept",
    )


@pytest.fixture(scope="module")
def version(order: Order) -> Path:
    return export("signs", SMALL, order, io.StringIO())


def document(version: Path) -> Any:
    return json.loads((version / "manifest.json").read_text())


def test_a_committee_is_published_as_one_graph(version: Path, home: Path) -> None:
    manifest = document(version)
    assert manifest["labels"] == ["no entry", "priority", "stop"]
    assert manifest["onnx"]["parameters"] == 2 * SMALL.parameters(3)
    assert manifest["weights"] == "trained"
    assert (manifest["input"]["height"], manifest["input"]["resize"]) == (SIDE, "stretch")
    test: Examples = image_folder.load(home / "data", Size(SIDE, SIDE, 3, "stretch")).test
    pixels, _ = test.read(np.arange(len(test)))
    answers = onnx_answers((version / "model.onnx").read_bytes(), pixels)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert manifest["evaluation"]["accuracy"] == metrics.accuracy(answers, test.labels)
    calibration = manifest["calibration"]
    assert calibration["examples"] == 7
    assert calibration["temperature"] > 0
    assert calibration["error_after"] == manifest["evaluation"]["calibration_error"]


def test_its_weights_are_numbers_of_16_bits(version: Path) -> None:
    model = onnx.load(version / "model.onnx")
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    kernels = [weight for weight in weights if weight.shape == (3, 3, 7, 7)]
    assert len(kernels) == 2
    assert all(map(fits, kernels))


def test_its_card_says_what_its_manifest_says(version: Path) -> None:
    card, manifest = (version / "README.md").read_text(), document(version)
    assert card.startswith("# signs\n")
    for told in (
        f"{manifest['evaluation']['accuracy']:.2%} on the 18 test pictures of data",
        "| columns | 2, whose probabilities are averaged |",
        f"{manifest['onnx']['parameters']:,}",
        manifest["training"]["dataset_sha256"],
        "no entry, priority, stop.",
    ):
        assert told in card
    for name in ("curves.png", "confusion.png", "kernels.png"):
        assert f"]({name})" in card
        assert (version / name).is_file()
    assert "mistakes.png" not in card


def test_another_column_is_trained_and_those_there_are_kept(version: Path, order: Order) -> None:
    report = io.StringIO()
    more = export("signs", SMALL, replace(order, columns=3, resume=True), report)
    lines = report.getvalue().splitlines()
    assert [line for line in lines if line.startswith("column")] == [
        "column 1 of 3",
        "column 2 of 3",
        "column 3 of 3",
    ]
    assert [number for number, line in enumerate(lines) if " epoch " in line] == [4, 5]
    assert document(more)["onnx"]["parameters"] == 3 * SMALL.parameters(3)


def test_a_checkpoint_serves_its_own_training_alone(version: Path, order: Order) -> None:
    with pytest.raises(CheckpointError, match="is of another training"):
        export("signs", SMALL, replace(order, seed=1, resume=True), io.StringIO())
    assert sorted(path.name for path in (order.models / "signs").iterdir())[-1] in ("1", "2")


def test_damaged_test_pictures_are_named_and_not_counted(order: Order, home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "data", tmp_path / "data")
    drawn_signs.write_folders(tmp_path / "data", train=30, test=6)
    (tmp_path / "data" / "test" / "stop" / "000.png").write_bytes(b"no picture")
    report = io.StringIO()
    given = replace(order, data=tmp_path / "data", checkpoints=tmp_path, columns=1, epochs=1)
    version = export("signs", SMALL, given, report)
    assert document(version)["evaluation"]["examples"] == 17
    assert "test/stop/000.png (not a picture)" in report.getvalue()


def test_untrained_weights_are_published_as_such_without_data(tmp_path: Path) -> None:
    order = Order(data=None, models=tmp_path, random=True, classes=5)
    manifest = document(export("signs", SMALL, order, io.StringIO()))
    assert manifest["weights"] == "random"
    assert manifest["training"] is None
    assert manifest["evaluation"] is None
    assert len(manifest["labels"]) == 5
    assert "random: this version has learned nothing" in (tmp_path / "signs" / "1" / "README.md").read_text()


def test_a_folder_of_another_number_of_classes(order: Order) -> None:
    with pytest.raises(DatasetError, match="data has 3 classes, not the 3,755 of --classes"):
        export("signs", SMALL, replace(order, classes=3755), io.StringIO())
