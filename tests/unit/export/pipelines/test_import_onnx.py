"""The import of ONNX classifiers: inference of properties, validation and serving."""

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
from export.graph.ort_session import OrtSession
from export.graph.preprocessing import preprocess
from export.repository.repository_reader import read_version
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
    output: str = "logits",
) -> onnx.ModelProto:
    """Return a small classifier in the style of ImageNet networks."""
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
        helper.make_node("Gemm", ["rows", "matrix", "bias"], [output if activation is None else "scores"]),
    ]
    if activation is not None:
        nodes.append(helper.make_node(activation, ["scores"], [output]))
    return helper.make_model(
        helper.make_graph(
            nodes,
            "elsewhere",
            [helper.make_tensor_value_info("data", dtype, axes)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [axes[0], len(LABELS)])],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


@pytest.fixture
def run_import(tmp_path: Path) -> Callable[..., int]:
    """Runs `convserve-export import` and returns the exit code."""

    def run_import(
        model: onnx.ModelProto | bytes,
        *options: str,
        labels: str = "\n".join(LABELS),
        normalisation: tuple[str, ...] = ("--raw-pixels",),
    ) -> int:
        data = model if isinstance(model, bytes) else model.SerializeToString()
        (tmp_path / "my model.onnx").write_bytes(data)
        (tmp_path / "labels.txt").write_text(labels)
        files = (str(tmp_path / "my model.onnx"), "--labels", str(tmp_path / "labels.txt"))
        return main(["import", *files, "--models", str(tmp_path / "models"), *options, *normalisation])

    return run_import


def noise(height: int = SIDE, width: int = SIDE) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_imported_imagenet_classifier_is_served(run_import: Callable[..., int], tmp_path: Path) -> None:
    """For NCHW, float32, logits and a dynamic batch, the server matches numpy and ONNX Runtime."""
    model = classifier()
    assert run_import(model, "--name", "elsewhere", normalisation=IMAGENET) == 0
    pixels = noise()
    values = ((pixels / 255 - MEAN) / STD).astype(np.float32).transpose(2, 0, 1)[np.newaxis]
    logits = OrtSession(model.SerializeToString()).run(values)[0].astype(np.float64)
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    with ServerProcess(tmp_path / "models") as server:
        assert "elsewhere version 1 (default): not evaluated; " in server.stdout.text
        request = urllib.request.Request(
            f"{server.url}/classify", buffer.getvalue(), {"Content-Type": "image/png"}
        )
        with urllib.request.urlopen(request) as response:
            (predicted,) = json.load(response)["predictions"]
    assert [each["label"] for each in predicted["top_k"]] == [LABELS[i] for i in np.argsort(-expected)]
    probabilities = [each["probability"] for each in predicted["top_k"]]
    np.testing.assert_allclose(probabilities, -np.sort(-expected), atol=1e-5)


def test_properties_are_inferred_from_the_graph(run_import: Callable[..., int], tmp_path: Path) -> None:
    assert run_import(classifier(activation="Softmax", output="probs")) == 0
    manifest = read_version(tmp_path / "models", "my-model").manifest
    assert (manifest.input.layout, manifest.input.dtype, manifest.input.name) == ("NCHW", "float32", "data")
    assert (manifest.input.height, manifest.input.width, manifest.input.channels) == (SIDE, SIDE, 3)
    assert (manifest.output.kind, manifest.output.name) == ("probabilities", "probs")
    assert manifest.labels == LABELS
    assert (manifest.weights, manifest.opset) == ("imported", 17)
    assert manifest.parameters == 8 * 75 + 8 * 5 + 5
    assert manifest.max_batch_size > 1


def test_uint8_channels_last_graph_is_imported(run_import: Callable[..., int], tmp_path: Path) -> None:
    model = classifier(axes=("batch", SIDE, SIDE, 3), dtype=TensorProto.UINT8, perm=(0, 3, 1, 2))
    assert run_import(model, "--dtype", "uint8", "--layout", "NHWC", "--resize", "stretch") == 0
    spec = read_version(tmp_path / "models", "my-model").manifest.input
    assert (spec.dtype, spec.layout, spec.resize, spec.scale) == ("uint8", "NHWC", "stretch", None)


def test_dynamic_size_is_set_by_the_option(run_import: Callable[..., int], tmp_path: Path) -> None:
    model = classifier(axes=("batch", 3, "height", "width"))
    assert run_import(model, "--size", "40x24") == 0
    spec = read_version(tmp_path / "models", "my-model").manifest.input
    assert (spec.height, spec.width) == (40, 24)


def test_preprocess_follows_the_manifest(run_import: Callable[..., int], tmp_path: Path) -> None:
    assert run_import(classifier(), normalisation=IMAGENET) == 0
    spec = read_version(tmp_path / "models", "my-model").manifest.input
    pixels = noise()
    expected = ((pixels / 255 - MEAN) / STD).transpose(2, 0, 1)
    np.testing.assert_allclose(preprocess(pixels[np.newaxis], spec)[0], expected, atol=1e-5)


def with_two_inputs() -> onnx.ModelProto:
    model = classifier()
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))
    return model


REJECTED: dict[str, tuple[Callable[[], onnx.ModelProto | bytes], tuple[str, ...], str]] = {
    "no ONNX": (lambda: b"<html>not found</html>", (), "is not an ONNX file"),
    "nothing": (lambda: b"", (), "is not an ONNX file"),
    "half": (lambda: classifier().SerializeToString()[:-40], (), "is not an ONNX file|cannot load"),
    "inputs": (with_two_inputs, (), "2 inputs (data, more)"),
    "dtype": (lambda: classifier(dtype=TensorProto.BOOL), (), "tensor(bool)"),
    "another dtype": (classifier, ("--dtype", "uint8"), "has dtype float32, not uint8"),
    "layout": (classifier, ("--layout", "NHWC"), "has 32 channels"),
    "another size": (classifier, ("--size", "16x16"), "is 32x32, not 16x16"),
    "no probabilities": (classifier, ("--output-kind", "probabilities"), "does not return probabilities"),
    "kind as name": (classifier, ("--output", "probabilities"), "has no output"),
    "mean": (classifier, ("--mean", "0.5"), "mean has 1 values for 3 channels"),
    "std": (classifier, ("--std", "1,0,1"), "--std contains a zero"),
    "name": (classifier, ("--name", "../elsewhere"), "is not a valid model name"),
}


@pytest.mark.parametrize(("make", "options", "words"), REJECTED.values(), ids=REJECTED)
def test_unsuitable_graph_is_rejected(
    run_import: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[], onnx.ModelProto | bytes],
    options: tuple[str, ...],
    words: str,
) -> None:
    assert run_import(make(), *options) == 1
    message = capsys.readouterr().err
    assert message.startswith("convserve-export: ")
    assert message.count("\n") == 1
    assert any(word in message for word in words.split("|")), message
    models = tmp_path / "models"
    assert not models.exists() or not list(models.iterdir())


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("cat\ndog", "has 5 classes, but"),
        ("cat\n\ndog\nduck\nnone\n", "line 2: empty line"),
        ("", "has 5 classes, but"),
    ],
)
def test_unsuitable_labels_are_rejected(
    run_import: Callable[..., int], capsys: pytest.CaptureFixture[str], labels: str, words: str
) -> None:
    assert run_import(classifier(), labels=labels) == 1
    assert words in capsys.readouterr().err


def test_byte_order_mark_of_the_labels_is_ignored(run_import: Callable[..., int], tmp_path: Path) -> None:
    assert run_import(classifier(), labels="\ufeff" + "\n".join(LABELS)) == 0
    assert read_version(tmp_path / "models", "my-model").manifest.labels == LABELS


def test_missing_files_are_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["import", str(tmp_path / "no.onnx"), "--labels", str(tmp_path / "no.txt")]
    assert main([*arguments, "--models", str(tmp_path / "models")]) == 1
    assert "no.onnx cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--scale", "1/0"), ("--mean", "a,b,c"), ("--size", "224")])
def test_invalid_numbers_exit_with_2(
    run_import: Callable[..., int], capsys: pytest.CaptureFixture[str], option: tuple[str, str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_import(classifier(), *option)
    assert ended.value.code == 2
    assert option[0] in capsys.readouterr().err


def test_normalisation_is_asked_back_with_the_line_to_copy(
    run_import: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = classifier()
    model.producer_name = "pytorch"
    assert run_import(model, normalisation=()) == 2
    message = capsys.readouterr().err
    line = "--scale 1/255 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"
    assert f"{line} (torchvision and timm; likely, because PyTorch wrote the file)" in message
    assert "--raw-pixels" in message
    assert message.count("\n") == 1
    assert not list((tmp_path / "models").iterdir())
    assert run_import(model, normalisation=tuple(line.split())) == 0
    spec = read_version(tmp_path / "models", "my-model").manifest.input
    assert (spec.scale, spec.mean, spec.std) == (1 / 255, MEAN, STD)


def test_graph_that_normalises_itself_is_recognised(
    run_import: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    model = classifier()
    model.graph.node[0].CopyFrom(helper.make_node("Div", ["data", "most"], ["floats"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array(255, np.float32), "most"))
    assert run_import(model, normalisation=()) == 2
    assert (
        "--raw-pixels (0 to 255, or the graph normalises by itself; likely, because"
        in capsys.readouterr().err
    )


def test_uint8_graph_needs_no_normalisation(run_import: Callable[..., int]) -> None:
    model = classifier(axes=("batch", SIDE, SIDE, 3), dtype=TensorProto.UINT8, perm=(0, 3, 1, 2))
    assert run_import(model, normalisation=()) == 0


ASKED_BACK: dict[str, tuple[Callable[[], onnx.ModelProto], tuple[str, ...], str]] = {
    "layout": (lambda: classifier(axes=("n", None, None, None)), (), "set it with --layout"),
    "size": (lambda: classifier(axes=("n", 3, "h", "w")), (), "set them with --size"),
    "output": (lambda: with_two_outputs(), (), "such as --output logits"),
    "kind": (lambda: classifier(activation="Softplus"), (), "set --output-kind to logits"),
}


def with_two_outputs() -> onnx.ModelProto:
    model = classifier()
    model.graph.output.append(helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", 8]))
    return model


@pytest.mark.parametrize(("make", "options", "words"), ASKED_BACK.values(), ids=ASKED_BACK)
def test_missing_option_is_asked_back(
    run_import: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[], onnx.ModelProto],
    options: tuple[str, ...],
    words: str,
) -> None:
    assert run_import(make(), *options) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "models").exists() or not list((tmp_path / "models").iterdir())


def test_output_is_chosen_by_name(run_import: Callable[..., int], tmp_path: Path) -> None:
    model = with_two_outputs()
    assert run_import(model, "--output", "logits") == 0
    manifest = read_version(tmp_path / "models", "my-model").manifest
    assert (manifest.output.name, manifest.labels) == ("logits", LABELS)
    labels = "\n".join("abcdefgh")
    assert (
        run_import(model, "--output", "rows", "--name", "rows", "--output-kind", "logits", labels=labels) == 0
    )
    published = read_version(tmp_path / "models", "rows")
    # The dense layer is not needed for this output.
    assert [each.name for each in onnx.load_from_string(published.graph).graph.initializer] == ["kernel"]


@pytest.mark.parametrize(("wanted", "axes", "found"), [("3", "batch", 3), ("200", "batch", 200), ("3", 1, 3)])
def test_largest_batch_is_chosen(
    run_import: Callable[..., int], tmp_path: Path, wanted: str, axes: Any, found: int
) -> None:
    assert run_import(classifier(axes=(axes, 3, SIDE, SIDE)), "--max-batch-size", wanted) == 0
    assert read_version(tmp_path / "models", "my-model").manifest.max_batch_size == found


def test_graph_whose_images_depend_on_each_other_is_refused(
    run_import: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    model = classifier()
    model.graph.node[-1].output[0] = "alone"
    model.graph.node.append(helper.make_node("ReduceMean", ["alone"], ["mean"], axes=[0]))
    model.graph.node.append(helper.make_node("Sub", ["alone", "mean"], ["logits"]))
    assert run_import(model, "--output-kind", "logits") == 1
    assert "depends on the other images of the batch" in capsys.readouterr().err


def test_labels_that_occur_twice_are_told(
    run_import: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_import(classifier(), labels="crane\nmaillot\ncrane\nmaillot\nfrog") == 0
    report = capsys.readouterr().err
    assert "the label 'crane' stands for 2 classes, and 1 more labels occur several times" in report


def test_other_labels_for_a_published_name_are_refused(
    run_import: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_import(classifier()) == 0
    assert run_import(classifier(), labels="a\nb\nc\nd\ne") == 1
    assert "--replace-labels" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "models" / "my-model").iterdir()] == ["1"]
    assert run_import(classifier(), "--replace-labels", labels="a\nb\nc\nd\ne") == 0
