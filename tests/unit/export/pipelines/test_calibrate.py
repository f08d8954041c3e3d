"""The command `calibrate`."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.cli.main import main
from export.datasets import mnist
from export.evaluation import robustness, temperature_scaling
from export.graph.ort_session import OrtSession
from export.repository.manifest import InputSpec, Manifest, OutputSpec, TrainingRecord
from export.repository.publish import publish
from export.repository.repository_reader import read_version
from tests.support.images.drawn_mnist import draw_digits, write_mnist

SHARPNESS = 0.0003


@dataclass(frozen=True)
class Repository:
    models: Path
    data: Path
    training: TrainingRecord


def noisy_digits(per_class: int, copies: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Digits that a linear classifier confuses, because most of a picture is noise."""
    images, labels = draw_digits(per_class, seed)
    draw = np.random.default_rng(seed)
    repeated = np.repeat(images, copies, axis=0).astype(np.float64)
    noisy = np.clip(repeated * 0.4 + draw.normal(60, 90, repeated.shape), 0, 255).astype(np.uint8)
    return noisy, np.repeat(labels, copies)


def classifier(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> bytes:
    """A graph that compares an image with the mean of each class, and is far too sure."""
    means = np.stack([images[labels == label].mean(axis=0) for label in range(10)]).reshape(10, -1)
    matrix = (SHARPNESS * (means - means.mean(axis=0))).T.astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["row"]),
        helper.make_node("MatMul", ["row", "matrix"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    bias = (-SHARPNESS * 0.5 * (means**2).sum(axis=1)).astype(np.float32)
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "means",
            [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 28, 28, 1])],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])],
            [numpy_helper.from_array(matrix, "matrix"), numpy_helper.from_array(bias, "bias")],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    home = tmp_path_factory.mktemp("calibrated")
    train_images, train_labels = noisy_digits(20, 21, seed=1)
    test_images, test_labels = noisy_digits(10, 6, seed=2)
    arrays = {
        "train-images-idx3-ubyte": train_images,
        "train-labels-idx1-ubyte": train_labels,
        "t10k-images-idx3-ubyte": test_images,
        "t10k-labels-idx1-ubyte": test_labels,
    }
    write_mnist(home / "data", arrays)
    digest = mnist.load(home / "data").sha256
    training = TrainingRecord("digits", digest, 3850, 1, 0, 1.0, {"numpy": np.__version__})
    graph = classifier(train_images, train_labels)
    manifest = Manifest(
        name="means",
        description="Compares an image with the mean of each class.",
        input=InputSpec("pixels", "uint8", "NHWC", 28, 28, 1, "fit"),
        output=OutputSpec("probabilities", "probabilities"),
        labels=mnist.LABELS,
        max_batch_size=64,
        opset=18,
        parameters=7850,
        tolerance=1e-4,
        training=training,
    )
    golden = test_images[:8, ..., np.newaxis]
    publish(home / "models", manifest, graph, golden, OrtSession(graph).run(golden), {robustness.FILE: b"{}"})
    return Repository(home / "models", home / "data", training)


def run(repository: Repository, model: str, *options: str, data: Path | None = None) -> int:
    paths = ["--models", str(repository.models), "--data", str(data or repository.data)]
    return main(["calibrate", model, *paths, *options])


def test_calibrated_version_differs_by_its_temperature_only(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(repository, "means/1") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(str(repository.models / "means"))
    before, after = (read_version(repository.models, "means", version) for version in ("1", "2"))
    calibration = after.manifest.calibration
    assert calibration is not None
    assert calibration.examples == 350
    assert calibration.temperature > 1.5
    assert calibration.error_after < 0.5 * calibration.error_before
    assert f"temperature {calibration.temperature:.3f}, fitted on 350 held-out images" in captured.err
    np.testing.assert_allclose(
        after.golden_outputs,
        temperature_scaling.soften(before.golden_outputs, calibration.temperature),
        atol=1e-5,
    )
    assert after.manifest.evaluation is not None
    assert after.manifest.evaluation.calibration_error == calibration.error_after
    kinds = [
        [node.op_type for node in onnx.load_from_string(each.graph).graph.node] for each in (before, after)
    ]
    assert kinds[0] == kinds[1]
    files = after.files()
    assert robustness.FILE not in files  # its confidences are those of the version before
    assert "reliability.png" in files
    card = (after.folder / "README.md").read_text()
    assert f"| temperature | {calibration.temperature:.3f}, fitted on 350 held-out images" in card


def test_robustness_of_the_calibrated_graph_is_published_with_it(repository: Repository) -> None:
    assert run(repository, "means/1", "--robustness") == 0
    published = max((repository.models / "means").iterdir(), key=lambda path: int(path.name))
    table = robustness.Robustness.parse((published / robustness.FILE).read_bytes())
    assert table.examples == 600
    evaluation = read_version(repository.models, "means", published.name).manifest.evaluation
    assert evaluation is not None
    assert table.results[0].accuracy == pytest.approx(evaluation.accuracy)
    assert "## Robustness" in (published / "README.md").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset_sha256": "0" * 64}, "is not the data set that others/1 was trained on"),
        (
            {"examples": 17},
            "others/1 was trained on 17 of the 4,200 training images; which ones were held out",
        ),
    ],
)
def test_other_trainings_are_refused(
    repository: Repository,
    change: dict[str, Any],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = read_version(repository.models, "means", "1")
    manifest = replace(first.manifest, name="others", training=replace(repository.training, **change))
    publish(tmp_path, manifest, first.graph, first.golden_inputs, first.golden_outputs)
    assert run(replace(repository, models=tmp_path), "others") == 1
    assert message in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "others").iterdir()] == ["1"]


def test_versions_without_a_training_or_with_independent_classes_are_refused(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = read_version(repository.models, "means", "1")
    unknown = replace(first.manifest, training=None)
    sigmoid = replace(first.manifest, output=OutputSpec("probabilities", "sigmoid"))
    for manifest, message in ((unknown, "does not name the data set"), (sigmoid, "means returns sigmoid")):
        publish(tmp_path, manifest, first.graph, first.golden_inputs, first.golden_outputs)
        assert run(replace(repository, models=tmp_path), "means") == 1
        assert message in capsys.readouterr().err
    assert run(repository, "means/1", data=tmp_path / "nothing") == 1
    assert json.loads((tmp_path / "means" / "1" / "manifest.json").read_text())["calibration"] is None
