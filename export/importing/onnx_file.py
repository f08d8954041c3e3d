"""Reads an ONNX file and the files that hold its weights into one model."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import TensorProto, helper
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_tensor

from ..errors import ConversionError
from ..graph.external_data import external_tensors

# Protobuf's limit for one message.
MAX_BYTES: Final = 2**31 - 1
# From this IR version on, constants need not be inputs.
_MIN_IR_VERSION: Final = 4
_MIN_OPSET: Final = 7
_DEFAULT_OPSET: Final = 17

# How files of other formats begin, or end their names, and the way to ONNX.
_PYTORCH: Final = (
    "a PyTorch file: export the network in Python with torch.onnx.export(model.eval(), "
    "(torch.zeros(1, 3, 224, 224),), 'model.onnx', dynamic_shapes=({0: 'batch'},)), and import model.onnx"
)
_KERAS: Final = "a Keras file"
_PICKLE: Final = (
    "a pickle: convert a scikit-learn classifier in Python with skl2onnx.to_onnx(model, "
    "X[:1].astype(numpy.float32)), write its SerializeToString() to model.onnx, and import that"
)
_BY_SUFFIX: Final = {
    ".pt": _PYTORCH,
    ".pth": _PYTORCH,
    ".ckpt": _PYTORCH,
    ".pkl": _PICKLE,
    ".pickle": _PICKLE,
    ".joblib": _PICKLE,
    ".safetensors": "a safetensors file, which holds weights without their network: build the network, load "
    "the weights, and export it to ONNX",
    ".tflite": "a TensorFlow Lite file: convert it with python -m tf2onnx.convert --tflite FILE --output "
    "model.onnx, and import model.onnx",
    ".pb": "a TensorFlow file: import the folder of the SavedModel, or convert it with tf2onnx",
    ".engine": "a TensorRT engine, which runs only where it was built: import the ONNX file that it was "
    "built from",
    ".ort": "in ONNX Runtime's own format: import the ONNX file that it was made from",
}
_BY_MAGIC: Final = (
    (b"\x89HDF\r\n\x1a\n", _KERAS),
    (b"PK\x03\x04", "an archive, as PyTorch and Keras write: export the network to ONNX"),
    (b"\x80", _PICKLE),
)


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read a model whose values are all inside, wherever they were stored.

    Raises:
        ConversionError: the file cannot be read, has another format or is too old; or files that hold its
            values are missing, damaged or too large.
    """
    model = _parse(path)
    if not model.graph.output:
        raise ConversionError(f"{path} is not an ONNX file: it has no output")
    _read_external_data(model, path.parent)
    _import_default_domain(model)
    _check_opset(model, path)
    _make_constants(model)
    return model


def _parse(path: Path) -> onnx.ModelProto:
    try:
        if path.is_dir():
            raise ConversionError(f"{path} is a folder; expected an ONNX file")
        if path.stat().st_size > MAX_BYTES:
            raise ConversionError(f"{path} is larger than {MAX_BYTES:,} bytes, the largest ONNX file")
        content = path.read_bytes()
    except OSError as error:
        raise ConversionError(f"{path} cannot be read: {error.strerror}") from error
    try:
        model = onnx.load_from_string(content)
    except (DecodeError, ValueError) as error:
        if other := _other_format(path, content):
            raise ConversionError(f"{path} is not an ONNX file but {other}") from error
        raise ConversionError(f"{path} is not an ONNX file: {_one_line(error)}") from error
    if not model.graph.output and (other := _other_format(path, content)):
        raise ConversionError(f"{path} is not an ONNX file but {other}")
    return model


def _other_format(path: Path, content: bytes) -> str | None:
    by_magic = (what for magic, what in _BY_MAGIC if content.startswith(magic))
    return _BY_SUFFIX.get(path.suffix.lower()) or next(by_magic, None)


def _read_external_data(model: onnx.ModelProto, folder: Path) -> None:
    """Read the values in other files into the model; the files must be below its folder."""
    total = 0
    for tensor in external_tensors(model):
        name = _location(tensor)
        expected = _stored_bytes(tensor)
        total += expected
        if total > MAX_BYTES:
            raise ConversionError(
                f"the weights have more than {MAX_BYTES:,} bytes, which do not fit into one ONNX file"
            )
        try:
            load_external_data_for_tensor(tensor, os.fspath(folder))
        except Exception as error:  # the library raises many types for paths and sizes
            raise ConversionError(
                f"the weights {tensor.name[:100]!r} cannot be read from the file {name!r}, which must be in "
                f"the folder of the graph: {_one_line(error)}"
            ) from error
        if len(tensor.raw_data) != expected:
            raise ConversionError(
                f"{name!r} has {len(tensor.raw_data):,} bytes for the weights {tensor.name[:100]!r}, "
                f"expected {expected:,}"
            )
        tensor.ClearField("data_location")
        del tensor.external_data[:]


def _location(tensor: TensorProto) -> str:
    try:
        return str(ExternalDataInfo(tensor).location)[:200]
    except Exception:  # as above
        return ""


def _stored_bytes(tensor: TensorProto) -> int:
    try:
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except (KeyError, TypeError, ValueError) as error:
        raise ConversionError(
            f"the weights {tensor.name[:100]!r} have the unknown type {tensor.data_type}"
        ) from error
    halves = (TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1)
    bits = 4 if tensor.data_type in halves else 8 * dtype.itemsize
    return (math.prod(tensor.dims) * bits + 7) // 8


def _check_opset(model: onnx.ModelProto, path: Path) -> None:
    opset = opset_of(model)
    if opset < _MIN_OPSET:
        raise ConversionError(
            f"{path} has opset {opset}, but ONNX Runtime supports {_MIN_OPSET} and newer; export it with a "
            "newer one"
        )


def _make_constants(model: onnx.ModelProto) -> None:
    """Remove initializers from the inputs, where old IR versions and Keras's Normalization list them."""
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    for index in reversed(range(len(graph.input))):
        if graph.input[index].name in constants:
            del graph.input[index]
    model.ir_version = max(model.ir_version, _MIN_IR_VERSION)


def _import_default_domain(model: onnx.ModelProto) -> None:
    """Declare an opset of the default domain where no operator uses it, as in a graph of trees."""
    if not any(opset.domain in ("", "ai.onnx") for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", _DEFAULT_OPSET))


def opset_of(model: onnx.ModelProto) -> int:
    """Return the opset of the default domain."""
    return next((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), 1)


def serialize(model: onnx.ModelProto) -> bytes:
    """Return the content of an ONNX file.

    Raises:
        ConversionError: it would be larger than a file may be.
    """
    try:
        content = bytes(model.SerializeToString(deterministic=True))
    except (EncodeError, ValueError) as error:
        raise ConversionError(f"the graph does not fit into one ONNX file: {_one_line(error)}") from error
    if len(content) > MAX_BYTES:
        raise ConversionError(f"the graph has {len(content):,} bytes; at most {MAX_BYTES:,} are allowed")
    return content


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
