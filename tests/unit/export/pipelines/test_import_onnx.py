"""Classifiers made elsewhere: what is found out, what is refused, and that a service answers as they do."""

from __future__ import annotations

import io
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from export.cli.main import main
from export.graph.ort_session import Session
from export.pipelines.import_onnx import prepared
from export.repository.repository_reader import read
from tests.support.server.server_process import ServerProcess

LABELS = ("cat", "dog", "stop sign", "Ente", "none of these")
SIDE = 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = ("--scale", "1/255", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")


def classifier(
    *,
    axes: tuple[Any, ...] = ("batch", 3, SIDE, SIDE),
    dtype: int = TensorProto.FLOAT,
    activation: str | None = None,
    perm: tuple[int, ...] | None = None,
    answer: str = "logits",
) -> onnx.ModelProto:
    """As ImageNet's are: a convolution, a mean over all places, a dense layer."""
    random = np.random.default_rng(1)
    constants = {
        "kernel": random.normal(0, 0.3, (8, 3, 5, 5)).astype(np.float32),
        "matrix": random.normal(0, 1, (8, len(LABELS))).astype(np.float32),
        "bias": random.normal(0, 1, len(LABELS)).astype(np.float32),
    }
    nodes = [helper.make_node("Cast", ["data"], ["floats"], to=TensorProto.FLOAT)]
    if perm is not None:
        nodes.append(helper.make_node("Transpose", ["floats"], ["first"], perm=perm))
    nodes += [
        helper.make_node("Conv", ["first" if perm else "floats", "kernel"], ["maps"], strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["means"]),
        helper.make_node("Flatten", ["means"], ["rows"]),
        helper.make_node("Gemm", ["rows", "matrix", "bias"], [answer if activation is None else "scores"]),
    ]
    if activation is not None:
        nodes.append(helper.make_node(activation, ["scores"], [answer]))
    return helper.make_model(
        helper.make_graph(
            nodes,
            "elsewhere",
            [helper.make_tensor_value_info("data", dtype, axes)],
            [helper.make_tensor_value_info(answer, TensorProto.FLOAT, [axes[0], len(LABELS)])],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


@pytest.fixture
def bring(tmp_path: Path) -> Callable[..., int]:
    """Runs `convserve-export import` on a model and labels; its exit code."""

    def bring(model: onnx.ModelProto | bytes, *options: str, labels: str = "\n".join(LABELS)) -> int:
        data = model if isinstance(model, bytes) else model.SerializeToString()
        (tmp_path / "my model.onnx").write_bytes(data)
        (tmp_path / "labels.txt").write_text(labels)
        files = (str(tmp_path / "my model.onnx"), "--labels", str(tmp_path / "labels.txt"))
        return main(["import", *files, "--models", str(tmp_path / "models"), *options])

    return bring


def noise(height: int = SIDE, width: int = SIDE) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_an_imagenet_classifier_is_served(bring: Callable[..., int], tmp_path: Path) -> None:
    """NCHW, float32, logits, any batch: the service answers as plain numpy and ONNX Runtime do."""
    model = classifier()
    assert bring(model, "--name", "elsewhere", *IMAGENET) == 0
    pixels = noise()
    values = ((pixels / 255 - MEAN) / STD).astype(np.float32).transpose(2, 0, 1)[np.newaxis]
    logits = Session(model.SerializeToString()).run(values)[0].astype(np.float64)
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    with ServerProcess(tmp_path / "models") as server:
        assert "elsewhere version 1: not evaluated; " in server.stdout.text
        request = urllib.request.Request(
            f"{server.url}/classify", buffer.getvalue(), {"Content-Type": "image/png"}
        )
        with urllib.request.urlopen(request) as answer:
            (predicted,) = json.load(answer)["predictions"]
    assert [each["label"] for each in predicted["top_k"]] == [LABELS[i] for i in np.argsort(-expected)]
    told = [each["probability"] for each in predicted["top_k"]]
    np.testing.assert_allclose(told, -np.sort(-expected), atol=1e-5)


def test_what_the_graph_tells_need_not_be_said(bring: Callable[..., int], tmp_path: Path) -> None:
    assert bring(classifier(activation="Softmax", answer="probs")) == 0
    manifest = read(tmp_path / "models", "my-model").manifest
    assert (manifest.input.layout, manifest.input.dtype, manifest.input.name) == ("NCHW", "float32", "data")
    assert (manifest.input.height, manifest.input.width, manifest.input.channels) == (SIDE, SIDE, 3)
    assert (manifest.output.kind, manifest.output.name) == ("probabilities", "probs")
    assert manifest.labels == LABELS
    assert (manifest.weights, manifest.opset) == ("imported", 17)
    assert manifest.parameters == 8 * 75 + 8 * 5 + 5
    assert manifest.max_batch_size > 1


def test_uint8_and_channels_last(bring: Callable[..., int], tmp_path: Path) -> None:
    model = classifier(axes=("batch", SIDE, SIDE, 3), dtype=TensorProto.UINT8, perm=(0, 3, 1, 2))
    assert bring(model, "--dtype", "uint8", "--layout", "NHWC", "--resize", "stretch") == 0
    spec = read(tmp_path / "models", "my-model").manifest.input
    assert (spec.dtype, spec.layout, spec.resize, spec.scale) == ("uint8", "NHWC", "stretch", None)


def test_a_batch_of_one_is_a_batch_of_one(bring: Callable[..., int], tmp_path: Path) -> None:
    assert bring(classifier(axes=(1, 3, SIDE, SIDE))) == 0
    assert read(tmp_path / "models", "my-model").manifest.max_batch_size == 1


def test_a_free_size_is_told(bring: Callable[..., int], tmp_path: Path) -> None:
    model = classifier(axes=("batch", 3, "height", "width"))
    assert bring(model, "--size", "40x24") == 0
    spec = read(tmp_path / "models", "my-model").manifest.input
    assert (spec.height, spec.width) == (40, 24)


def test_prepared_pictures_are_those_of_the_manifest(bring: Callable[..., int], tmp_path: Path) -> None:
    assert bring(classifier(), *IMAGENET) == 0
    spec = read(tmp_path / "models", "my-model").manifest.input
    pixels = noise()
    expected = ((pixels / 255 - MEAN) / STD).transpose(2, 0, 1)
    np.testing.assert_allclose(prepared(pixels[np.newaxis], spec)[0], expected, atol=1e-5)


def with_external_weights() -> onnx.ModelProto:
    model = classifier()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return model


def with_two_inputs() -> onnx.ModelProto:
    model = classifier()
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    return model


REFUSED: dict[str, tuple[Callable[[], onnx.ModelProto | bytes], tuple[str, ...], str]] = {
    "no ONNX": (lambda: b"<html>not found</html>", (), "is no ONNX file"),
    "nothing": (lambda: b"", (), "is no ONNX file"),
    "half": (lambda: classifier().SerializeToString()[:-40], (), "is no ONNX file|cannot open"),
    "weights elsewhere": (with_external_weights, (), "keeps its weights in other files"),
    "inputs": (with_two_inputs, (), "2 inputs (data, more)"),
    "dtype": (lambda: classifier(dtype=TensorProto.DOUBLE), (), "tensor(double)"),
    "another dtype": (classifier, ("--dtype", "uint8"), "is float32, and not uint8"),
    "layout": (classifier, ("--layout", "NHWC"), "has 32 channels"),
    "no layout": (lambda: classifier(axes=("n", None, None, None)), (), "say it by --layout"),
    "no size": (lambda: classifier(axes=("n", 3, "h", "w")), (), "say by --size"),
    "another size": (classifier, ("--size", "16x16"), "takes 32x32, and not 16x16"),
    "batch": (lambda: classifier(axes=(4, 3, SIDE, SIDE)), (), "the batch axis is to be free, or 1"),
    "no probabilities": (classifier, ("--output", "probabilities"), "are no probabilities"),
    "mean": (classifier, ("--mean", "0.5"), "mean has 1 values for 3 channels"),
    "std": (classifier, ("--std", "1,0,1"), "--std holds a zero"),
    "name": (classifier, ("--name", "../elsewhere"), "cannot be a model's name"),
}


@pytest.mark.parametrize(("make", "options", "words"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_a_sentence_and_nothing_is_published(
    bring: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[], onnx.ModelProto | bytes],
    options: tuple[str, ...],
    words: str,
) -> None:
    assert bring(make(), *options) == 1
    told = capsys.readouterr().err
    assert told.startswith("convserve-export: ")
    assert told.count("\n") == 1
    assert any(word in told for word in words.split("|")), told
    models = tmp_path / "models"
    assert not models.exists() or not list(models.iterdir())


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("cat\ndog", "has 5 classes, and"),
        ("cat\n\ndog\nduck\nnone\n", "an empty line at 2"),
        ("", "has 5 classes, and"),
    ],
)
def test_labels_that_do_not_fit(
    bring: Callable[..., int], capsys: pytest.CaptureFixture[str], labels: str, words: str
) -> None:
    assert bring(classifier(), labels=labels) == 1
    assert words in capsys.readouterr().err


def test_files_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["import", str(tmp_path / "no.onnx"), "--labels", str(tmp_path / "no.txt")]
    assert main([*arguments, "--models", str(tmp_path / "models")]) == 1
    assert "no.onnx cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--scale", "1/0"), ("--mean", "a,b,c"), ("--size", "224")])
def test_options_that_are_no_numbers(
    bring: Callable[..., int], capsys: pytest.CaptureFixture[str], option: tuple[str, str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        bring(classifier(), *option)
    assert ended.value.code == 2
    assert option[0] in capsys.readouterr().err
