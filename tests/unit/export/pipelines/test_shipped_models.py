"""The shipped models in models/, evaluated on real data if it is available."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from export.datasets import mnist, synthetic_images
from export.evaluation import metrics
from export.evaluation.verify import predict_onnx
from export.graph.ort_session import OrtSession
from export.pipelines.recipes import RECIPES
from export.report.report_files import MISTAKES_FILE
from tests.unit.export.conftest import ROOT

SHIPPED = sorted(path.parent for path in (ROOT / "models").glob("*/*/manifest.json"))
CONVNET = ROOT / "models" / "convnet" / "3"


def document(version: Path) -> Any:
    return json.loads((version / "manifest.json").read_text())


def identify(version: Path) -> str:
    return f"{version.parent.name}-{version.name}"


@pytest.mark.parametrize("version", SHIPPED, ids=identify)
def test_shipped_version_is_complete_and_matches_its_golden_outputs(version: Path) -> None:
    manifest, graph = document(version), (version / "model.onnx").read_bytes()
    assert (manifest["name"], manifest["version"]) == (version.parent.name, version.name)
    assert hashlib.sha256(graph).hexdigest() == manifest["onnx"]["sha256"]
    onnx.checker.check_model(graph, full_check=True)
    with np.load(version / "golden.npz", allow_pickle=False) as golden:
        assert len(golden["inputs"]) >= 20
        difference = np.abs(OrtSession(graph).run(golden["inputs"]) - golden["outputs"]).max()
    assert difference <= manifest["golden"]["tolerance"]
    assert all(plot.stat().st_size < 100_000 for plot in version.glob("*.png") if plot.name != MISTAKES_FILE)


@pytest.mark.parametrize(
    ("name", "dataset", "parameters"),
    [("convnet", "MNIST", 104_202), ("lenet5", "MNIST", 61_706), ("signnet", "GTSRB", 5 * 1_543_443)],
)
def test_shipped_version_matches_its_recipe(name: str, dataset: str, parameters: int) -> None:
    recipe = RECIPES[name]
    versions = [document(version) for version in SHIPPED if version.parent.name == name]
    [manifest] = [each for each in versions if each.get("quantization") is None]
    assert manifest["training"]["dataset"] == dataset
    assert manifest["training"]["epochs"] == recipe.schedule.plan.epochs
    assert manifest["training"]["seed"] == 0
    assert manifest["description"] == recipe.description
    assert manifest["onnx"]["parameters"] == parameters
    assert recipe.members * recipe.parameters(len(manifest["labels"])) == parameters


def test_shipped_models_are_small() -> None:
    """Excludes the contact sheet of mistakes, which is not committed."""
    files = [path for path in (ROOT / "models").rglob("*") if path.is_file() and path.name != MISTAKES_FILE]
    assert sum(path.stat().st_size for path in files) <= 25_000_000


def test_shipped_convnet_predicts_its_example() -> None:
    with Image.open(CONVNET / "example.png") as image:
        pixels = np.asarray(image)[np.newaxis, ..., np.newaxis]
    (output,) = predict_onnx((CONVNET / "model.onnx").read_bytes(), pixels)
    assert document(CONVNET)["example"]["label"] == "7"
    assert output[7] > 0.99


def test_shipped_convnet_predicts_synthetic_digits() -> None:
    outputs = predict_onnx((CONVNET / "model.onnx").read_bytes(), synthetic_images.golden_digits(0)[:10])
    assert outputs.argmax(axis=1).tolist() == list(range(10))


def test_shipped_convnet_has_the_recorded_accuracy(real_data: Path) -> None:
    test = mnist.load(real_data / "mnist").test
    outputs = predict_onnx((CONVNET / "model.onnx").read_bytes(), test.read(np.arange(len(test)))[0])
    evaluation = document(CONVNET)["evaluation"]
    assert evaluation["examples"] == len(test) == 10_000
    assert metrics.accuracy(outputs, test.labels) == evaluation["accuracy"]
    assert metrics.top_k_accuracy(outputs, test.labels, 5) == evaluation["top5"]
    assert metrics.calibration_error(outputs, test.labels) == pytest.approx(
        evaluation["calibration_error"], abs=1e-6
    )
    assert evaluation["accuracy"] >= 0.993
