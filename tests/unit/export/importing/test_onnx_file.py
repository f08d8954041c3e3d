"""Reading ONNX files: weights in other files, other formats, and versions that are too new or too old."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.errors import ConversionError
from export.graph.external_data import external_tensors
from export.importing.fitted_graph import open_source
from export.importing.onnx_file import read_onnx
from tests.support.models.foreign_graphs import CLASSES, network

WEIGHTS = "weights.bin"


def bias_of(model: onnx.ModelProto) -> TensorProto:
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "bias")
    return bias


def move_out(tensor: TensorProto, folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=WEIGHTS)


def with_external_initializer(folder: Path) -> onnx.ModelProto:
    model = network()
    move_out(bias_of(model), folder)
    return model


def with_external_constant(folder: Path) -> onnx.ModelProto:
    """A graph whose bias is an attribute of a node."""
    model = network()
    bias = bias_of(model)
    move_out(bias, folder)
    model.graph.node.insert(0, helper.make_node("Constant", [], ["bias"], value=bias))
    model.graph.initializer.remove(bias)
    return model


def with_external_branch(folder: Path) -> onnx.ModelProto:
    """A graph whose bias comes from a branch of `If`."""
    model = with_external_constant(folder)
    constant = model.graph.node.pop(0)
    constant.output[0] = "inner"
    output = helper.make_tensor_value_info("inner", TensorProto.FLOAT, [CLASSES])
    branch = helper.make_graph([constant], "branch", [], [output])
    model.graph.node.insert(
        0, helper.make_node("If", ["yes"], ["bias"], then_branch=branch, else_branch=branch)
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    return model


@pytest.mark.parametrize("make", [with_external_initializer, with_external_constant, with_external_branch])
def test_weights_in_other_files_are_read_in(
    make: Callable[[Path], onnx.ModelProto], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").write_bytes(make(tmp_path).SerializeToString())
    model = read_onnx(tmp_path / "model.onnx")
    assert not list(external_tensors(model))
    (tmp_path / WEIGHTS).unlink()
    image = np.random.default_rng(0).random((1, 3, 8, 8)).astype(np.float32)
    expected = open_source(network(), []).run(image)
    np.testing.assert_array_equal(open_source(model, []).run(image), expected)


def test_weights_of_the_onnx_package_are_read_in(tmp_path: Path) -> None:
    onnx.save(
        network(),
        tmp_path / "model.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location="model.onnx.data",
        size_threshold=0,
    )
    assert (tmp_path / "model.onnx.data").stat().st_size > 800
    model = read_onnx(tmp_path / "model.onnx")
    assert list(model.graph.initializer) == list(network().graph.initializer)


@pytest.mark.parametrize(
    ("content", "location", "words"),
    [
        (None, WEIGHTS, "'bias' cannot be read from the file 'weights.bin', which must be in the folder of"),
        (bytes(19), WEIGHTS, "'weights.bin' has 19 bytes for the weights 'bias', expected 20"),
        (bytes(6000), WEIGHTS, "'weights.bin' has 6,000 bytes for the weights 'bias', expected 20"),
        (bytes(20), f"../{WEIGHTS}", "which must be in the folder of the graph"),
        (bytes(20), "/etc/hostname", "which must be in the folder of the graph"),
    ],
)
def test_wrong_file_of_weights_is_refused(
    tmp_path: Path, content: bytes | None, location: str, words: str
) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    model = with_external_initializer(folder)
    bias_of(model).external_data[0].value = location
    (folder / WEIGHTS).unlink()
    (tmp_path / WEIGHTS).write_bytes(bytes(20))
    if content is not None:
        (folder / WEIGHTS).write_bytes(content)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ConversionError, match=words):
        read_onnx(folder / "model.onnx")


def test_link_to_another_folder_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    model = with_external_initializer(folder)
    os.rename(folder / WEIGHTS, tmp_path / "secret")
    (folder / WEIGHTS).symlink_to(tmp_path / "secret")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ConversionError, match="which must be in the folder of the graph"):
        read_onnx(folder / "model.onnx")


def write_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"weights")


OTHER_FORMATS: dict[str, tuple[Callable[[Path], object], str]] = {
    "net.pt": (write_archive, r"a PyTorch file: export the network in Python with torch\.onnx\.export\("),
    "net.pth": (lambda path: path.write_bytes(pickle.dumps({})), "a PyTorch file"),
    "net": (write_archive, "an archive, as PyTorch and Keras write"),
    "net.onnx": (lambda path: path.write_bytes(pickle.dumps({})), "a pickle: convert a scikit-learn"),
    "net.joblib": (lambda path: path.write_bytes(b"\x80\x04"), "skl2onnx"),
    "net.safetensors": (lambda path: path.write_bytes(b"\x10" + bytes(7) + b"{}"), "without their network"),
    "net.tflite": (lambda path: path.write_bytes(b"\x1c\0\0\0TFL3"), "python -m tf2onnx"),
    "net.engine": (lambda path: path.write_bytes(b"ftrt"), "a TensorRT engine"),
}


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_other_format_is_named_with_the_way_to_onnx(name: str, tmp_path: Path) -> None:
    write, words = OTHER_FORMATS[name]
    write(tmp_path / name)
    with pytest.raises(ConversionError, match=f"is not an ONNX file but .*{words}") as raised:
        read_onnx(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="is a folder; expected an ONNX file"):
        read_onnx(tmp_path)


def changed(**fields: int) -> onnx.ModelProto:
    model = network()
    model.ir_version = fields.get("ir_version", model.ir_version)
    model.opset_import[0].version = fields.get("opset", 17)
    if "ml" in fields:
        model.opset_import.append(helper.make_opsetid("ai.onnx.ml", fields["ml"]))
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (changed(ir_version=99), r"IR version 99, but ONNX Runtime [\d.]+ supports at most \d+; "),
        (
            changed(opset=99),
            r"opset 99 of the domain ai\.onnx, but ONNX Runtime [\d.]+ supports at most \d+; ",
        ),
        (
            changed(ml=99),
            r"opset 99 of the domain ai\.onnx\.ml, but ONNX Runtime [\d.]+ supports at most \d+",
        ),
        (changed(opset=5), "has opset 5, but ONNX Runtime supports 7 and newer"),
    ],
)
def test_version_out_of_range_is_told_with_both_numbers(
    tmp_path: Path, model: onnx.ModelProto, words: str
) -> None:
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ConversionError, match=words) as raised:
        open_source(read_onnx(tmp_path / "model.onnx"), [])
    assert "onnxruntime_src" not in str(raised.value)
    assert "ONNXRuntimeError" not in str(raised.value)


def test_messages_of_onnx_runtime_have_no_place_in_its_source(tmp_path: Path) -> None:
    model = network()
    model.graph.node[1].op_type = "Unheard"
    with pytest.raises(ConversionError, match="cannot load the graph: This is an invalid model"):
        open_source(model, [])


def test_constants_are_no_inputs(tmp_path: Path) -> None:
    """IR version 3 lists every constant as an input."""
    model = network()
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        )
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    assert [value.name for value in read_onnx(tmp_path / "model.onnx").graph.input] == ["data"]
