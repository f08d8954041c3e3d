"""Quantization of trained networks to int8 and float16."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.cli.main import main
from export.graph import float16, int8
from export.graph.ort_session import OrtSession
from export.networks.alexnet import response_normalization
from export.pipelines import reduce_precision
from export.repository.repository_reader import read_version
from tests.support.models.filter_model import publish_filters
from tests.unit.export.conftest import Exported


@pytest.fixture
def models(exported: Exported, tmp_path: Path) -> Path:
    """A repository with a network trained on synthetic digits."""
    shutil.copytree(exported.models, tmp_path / "models")
    return tmp_path / "models"


def run(models: Path, *options: str | Path, name: str = "convnet") -> int:
    return main(["quantize", name, "--models", str(models), *map(str, options)])


def test_int8_version_is_a_quarter_of_the_size_and_accurate(
    models: Path, digits: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reduce_precision, "MAX_ACCURACY_LOSS", 0.05)  # one of 100 test images is 0.01
    assert run(models, "--data", digits) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{models / 'convnet' / '2'}\n"
    assert "of version 1; accuracy " in captured.err
    parent, child = read_version(models, "convnet", "1"), read_version(models, "convnet", "2")
    assert len(child.graph) <= 0.3 * len(parent.graph)
    assert child.manifest.evaluation is not None
    assert parent.manifest.evaluation is not None
    quantization = child.manifest.quantization
    assert quantization is not None
    assert (quantization.parent, quantization.method) == ("1", int8.METHOD)
    assert quantization.parent_accuracy == parent.manifest.evaluation.accuracy
    assert quantization.calibration_examples <= reduce_precision.PRECISIONS["int8"].calibration_images
    assert child.manifest.labels == parent.manifest.labels
    card = (child.folder / "README.md").read_text()
    assert f"; from version 1, with an accuracy of {quantization.parent_accuracy:.2%} |" in card
    outputs = OrtSession(child.graph).run(child.golden_inputs)
    expected = OrtSession(parent.graph).run(parent.golden_inputs)
    np.testing.assert_allclose(outputs, expected, atol=0.2)
    assert "Cast" not in [node.op_type for node in onnx.load_from_string(child.graph).graph.node]
    assert "pixels-as-they-are" in child.manifest.rewrites


def test_float16_version_is_half_the_size_and_accurate(
    models: Path, digits: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reduce_precision, "MAX_ACCURACY_LOSS", 0.05)
    assert run(models, "--data", digits, "--precision", "float16") == 0
    assert "float16 graph of " in capsys.readouterr().err
    parent, child = read_version(models, "convnet", "1"), read_version(models, "convnet", "2")
    assert len(child.graph) <= 0.52 * len(parent.graph)
    quantization = child.manifest.quantization
    assert quantization is not None
    assert (quantization.method, quantization.calibration_examples) == (float16.METHOD, 0)
    outputs = OrtSession(child.graph).run(child.golden_inputs)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, OrtSession(parent.graph).run(parent.golden_inputs), atol=5e-3)
    assert child.manifest.tolerance == pytest.approx(0.02 * np.abs(outputs).max())
    weights = {tensor.data_type for tensor in onnx.load_from_string(child.graph).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in weights
    assert onnx.TensorProto.FLOAT not in weights


def test_default_parent_is_the_highest_unquantized_version(
    models: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reduce_precision, "MAX_ACCURACY_LOSS", 0.05)
    assert run(models, "--data", digits) == run(models, "--data", digits) == 0
    parents = [read_version(models, "convnet", version).manifest.quantization for version in ("2", "3")]
    assert [None if each is None else each.parent for each in parents] == ["1", "1"]
    assert read_version(models, "convnet", "2").graph == read_version(models, "convnet", "3").graph


def test_large_accuracy_loss_is_rejected(
    models: Path, digits: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reduce_precision, "MAX_ACCURACY_LOSS", -1.0)
    assert run(models, "--data", digits) == 1
    assert "in int8 the accuracy drops from " in capsys.readouterr().err
    assert [entry.name for entry in (models / "convnet").iterdir()] == ["1"]
    assert [entry.name for entry in models.iterdir()] == ["convnet"]


def test_unsuitable_models_are_rejected(
    models: Path, digits: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reduce_precision, "MAX_ACCURACY_LOSS", 0.05)
    publish_filters(models)
    assert run(models, name="filters") == 1
    assert "filters returns maps" in capsys.readouterr().err
    assert run(models, name="nothing") == 1
    assert "cannot read model nothing in" in capsys.readouterr().err
    assert run(models, "--model-version", "7") == 1
    assert "manifest.json cannot be read" in capsys.readouterr().err
    assert run(models, "--data", models) == 1
    assert capsys.readouterr().err.startswith("convserve-export: ")
    assert run(models, "--data", digits) == 0
    capsys.readouterr()
    assert run(models, "--data", digits, "--model-version", "2") == 1
    assert "version 2 of convnet is already quantized" in capsys.readouterr().err


def test_damaged_parent_is_rejected(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = models / "convnet" / "1" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    assert run(models) == 1
    assert "does not have the digest of its manifest" in capsys.readouterr().err


def test_random_weights_are_quantized_without_data(tmp_path: Path) -> None:
    assert main(["convnet", "--weights", "random", "--models", str(tmp_path)]) == 0
    assert run(tmp_path) == 0
    child = read_version(tmp_path, "convnet", "2").manifest
    assert (child.weights, child.evaluation) == ("random", None)
    assert child.quantization is not None
    assert child.quantization.parent_accuracy is None


def test_int8_keeps_response_normalization_in_float32() -> None:
    """As in AlexNet: no convolution of squares, one pair of transposes per normalization, uint8 pixels."""
    import keras
    from keras import layers

    from export.graph.convert import convert
    from export.graph.rewrites import rewrite
    from export.networks.preprocessing import from_pixels

    inputs = keras.Input((20, 20, 3))
    x = response_normalization(layers.Conv2D(16, 5, activation="relu")(inputs))
    x = layers.Conv2D(8, 3, activation="relu")(layers.MaxPooling2D(2)(x))
    outputs = layers.Dense(5, activation="softmax")(layers.Flatten()(x))
    network = from_pixels(keras.Model(inputs, outputs, name="like_alexnet"))
    parent = rewrite(convert(network)).graph
    images = np.random.default_rng(0).integers(0, 256, (40, 20, 20, 3), dtype=np.uint8)
    graph, rewrites = int8.to_int8(parent, images)
    assert rewrites == ("response-normalisation-channels-last", "pixels-as-they-are")
    kinds = [node.op_type for node in onnx.load_from_string(graph).graph.node]
    assert (kinds.count("Conv"), kinds.count("AveragePool"), kinds.count("Transpose")) == (2, 1, 3)
    assert "Cast" not in kinds
    np.testing.assert_allclose(OrtSession(graph).run(images), OrtSession(parent).run(images), atol=0.05)


def test_float16_keeps_squares_in_float32() -> None:
    """Squares of pixels that are not standardized are infinite in float16."""
    import keras
    from keras import layers

    from export.graph.convert import convert
    from export.graph.rewrites import rewrite
    from export.networks.preprocessing import centred, from_pixels

    inputs = keras.Input((20, 20, 3))
    x = response_normalization(layers.Conv2D(16, 5, activation="relu")(inputs))
    outputs = layers.Dense(5, activation="softmax")(layers.Flatten()(layers.MaxPooling2D(4)(x)))
    network = from_pixels(keras.Model(inputs, outputs, name="like_alexnet"), centred)
    parent = rewrite(convert(network)).graph
    images = np.random.default_rng(0).integers(0, 256, (40, 20, 20, 3), dtype=np.uint8)
    graph, _ = float16.to_float16(parent, images[:0])
    model = onnx.load_from_string(graph)
    kinds = {value.name: value.type.tensor_type.elem_type for value in inferred(model)}
    squares = [node.output[0] for node in model.graph.node if node.op_type == "Mul"]
    assert squares
    assert {kinds[name] for name in squares} == {onnx.TensorProto.FLOAT}
    convolutions = [node.output[0] for node in model.graph.node if node.op_type == "Conv"]
    assert {kinds[name] for name in convolutions} == {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
    np.testing.assert_allclose(OrtSession(graph).run(images), OrtSession(parent).run(images), atol=0.05)


def inferred(model: onnx.ModelProto) -> Sequence[onnx.ValueInfoProto]:
    return list(onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info)


def test_profile_prints_each_node_and_the_total(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "convnet", "--models", str(models), "--batch", "4"]) == 0
    *nodes, total = capsys.readouterr().out.splitlines()
    assert total.endswith("per image, on one thread")
    assert any("Conv" in line for line in nodes)
    assert main(["profile", "convnet", "--models", str(models), "--batch", "1000"]) == 1
    assert "accepts at most" in capsys.readouterr().err
