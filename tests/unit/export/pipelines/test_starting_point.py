"""Training from the weights of a published version."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

from export.errors import CheckpointError, ConversionError, UsageError
from export.evaluation import verify
from export.graph.member_weights import member_graph, member_weights
from export.networks.preprocessing import from_pixels, rescaled
from export.pipelines.export_options import ExportOptions
from export.pipelines.pipeline import export_network, train_only
from export.pipelines.recipes import RECIPES, Recipe
from export.repository.repository_reader import read_version
from export.training.optimizers import Adam
from export.training.starting_point import load_starting_point
from export.training.train import TrainingPlan
from tests.support.images import drawn_signs
from tests.support.models.shipped import highest_version

SIDE = 48


def build(classes: int, kernels: int = 3) -> keras.Model:
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(kernels, 7, strides=4, activation="relu")(inputs)
    outputs = keras.layers.Dense(classes, activation="softmax")(keras.layers.Flatten()(x))
    return keras.Model(inputs, outputs, name="small")


SMALL = replace(
    RECIPES["signnet"],
    build=build,
    parameters=lambda classes: 3 * (7 * 7 * 3 + 1) + (11 * 11 * 3 + 1) * classes,
    held_out=0.2,
)


def refined(learning_rate: float) -> Recipe:
    plan = SMALL.refinement
    assert plan is not None
    return replace(SMALL, refinement=replace(plan, optimizer=Adam(learning_rate)))


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> ExportOptions:
    """A published version of two small members, and the options that made it."""
    home = tmp_path_factory.mktemp("signs")
    drawn_signs.write_folders(home / "data", train=12, test=6)
    options = ExportOptions(
        data=home / "data",
        models=home / "models",
        epochs=1,
        batch_size=10,
        members=2,
        checkpoints=home / "kept",
        name="signs",
        description="Drawn signs.",
    )
    export_network("signs", SMALL, options, io.StringIO())
    return options


@pytest.mark.parametrize("name", ["signnet", "convnet", "lenet5"])
def test_members_built_from_a_shipped_graph_equal_its_members(name: str) -> None:
    published, recipe = highest_version(name), RECIPES[name]
    version = read_version(published.parent.parent, name, published.name)
    start = load_starting_point(
        name,
        partial(recipe.build, recipe.classes),
        recipe.preprocessings,
        recipe.members,
        recipe.labels,
        published.parent.parent,
        published.name,
    )
    assert len(start.members) == recipe.members
    for index, weights in enumerate(start.members):
        network = recipe.build(recipe.classes)
        network.set_weights(weights)
        preprocess = recipe.preprocessings[index % len(recipe.preprocessings)]
        found = verify.predict_keras(from_pixels(network, preprocess), version.golden_inputs)
        expected = verify.predict_onnx(member_graph(version.graph, index), version.golden_inputs)
        assert len(np.unique(expected.argmax(axis=1))) > 1
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_training_starts_from_the_weights_and_its_checkpoints_can_be_resumed(
    options: ExportOptions, tmp_path: Path
) -> None:
    graph = read_version(options.models, "signs", "1").graph
    before = member_weights(graph)
    still = replace(options, start_from="1", checkpoints=tmp_path)
    train_only("signs", refined(1e-12), still, io.StringIO())
    for number, weights in enumerate(before, start=1):
        with np.load(tmp_path / f"member-{number}.npz") as kept:
            for position, expected in enumerate(weights):
                np.testing.assert_allclose(kept[f"value{position}"], expected, atol=1e-6)
    report = io.StringIO()
    more = export_network("signs", refined(1e-12), replace(still, resume=True), report).version
    assert "epoch" not in report.getvalue()
    manifest = json.loads((more / "manifest.json").read_text())
    assert "from the weights of signs/1" in manifest["training"]["trainer"]
    with pytest.raises(CheckpointError, match="belongs to another training"):
        train_only("signs", refined(1e-12), replace(still, start_from=None, resume=True), io.StringIO())


def test_refinement_learns_from_damaged_images() -> None:
    plan = RECIPES["signnet"].refinement
    assert isinstance(plan, TrainingPlan)
    faults = plan.augmentation.faults
    assert faults is not None
    assert min(faults.shift, faults.scale, faults.occlusion, faults.blur, faults.noise) > 0
    assert faults.quality is not None
    assert faults.quality < 20


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda options: replace(options, members=3), UsageError, "has 2 of the 3 members; pass --members 2"),
        (lambda options: replace(options, start_from="7"), Exception, "7"),
    ],
)
def test_versions_that_do_not_fit_are_refused(
    options: ExportOptions,
    change: Callable[[ExportOptions], ExportOptions],
    error: type[Exception],
    message: str,
    tmp_path: Path,
) -> None:
    changed = change(replace(options, start_from="1", checkpoints=tmp_path / "kept"))
    with pytest.raises(error, match=message):
        train_only("signs", SMALL, changed, io.StringIO())
    assert not (tmp_path / "kept").exists()


def test_other_labels_are_refused(options: ExportOptions, tmp_path: Path) -> None:
    shutil.copytree(options.data or Path(), tmp_path / "data")
    for part in ("train", "test"):
        (tmp_path / "data" / part / "stop").rename(tmp_path / "data" / part / "yield")
    changed = replace(options, data=tmp_path / "data", start_from="1", checkpoints=tmp_path / "kept")
    with pytest.raises(UsageError, match="3 labels that are not the 3 of the data set"):
        train_only("signs", SMALL, changed, io.StringIO())


def test_another_network_is_refused(options: ExportOptions) -> None:
    with pytest.raises(ConversionError, match="signs/1 is another network than small"):
        load_starting_point(
            "signs",
            lambda: build(3, kernels=5),
            (rescaled,),
            1,
            ("no entry", "priority", "stop"),
            options.models,
            "1",
        )
