"""Quantizes graphs to int8, which divides their size by four and reduces the computation.

Static quantization in the QDQ format (B. Jacob et al., CVPR 2018; onnxruntime.quantization). Weights are int8
per channel in 7 bits, because 8-bit products saturate on CPUs with AVX2 and without VNNI. Activations are
uint8, with ranges from calibration images. Response normalization stays in float32, because the range of its
squares is too large. The uint8 pixels are used without conversion.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.checker import check_model

from ..errors import ConversionError
from .graph_cleanup import clean_up
from .rewrites import CHANNELS_LAST, FLOAT32_WEIGHTS, SPEEDUPS, UINT8_INPUT, rewrite

METHOD: Final = "static, QDQ, int8 weights per channel in 7 bits, uint8 activations, MinMax"

_BATCH_SIZE: Final = 32
_QUANTIZED_OPERATORS: Final = ["Conv", "MatMul", "Gemm", "MaxPool", "Relu", "Reshape"]


def to_int8(graph: bytes, images: NDArray[np.uint8]) -> tuple[bytes, tuple[str, ...]]:
    """Quantize a graph to int8.

    Args:
        graph: the ONNX file.
        images: calibration images, uint8 [images, height, width, channels].

    Returns:
        The new ONNX file and the names of the rewrites applied before and after the quantization.

    Raises:
        ConversionError: the graph cannot be quantized.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    before = rewrite(graph, [FLOAT32_WEIGHTS, *SPEEDUPS, CHANNELS_LAST])
    model = onnx.load_from_string(before.graph)
    pixels, first_inputs = model.graph.input[0].name, _first_conv_inputs(model)
    with TemporaryDirectory() as folder, _warnings_disabled():
        path = Path(folder) / "int8.onnx"
        try:
            quantize_static(
                model,
                path,
                _CalibrationReader(pixels, images),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=_QUANTIZED_OPERATORS,
                nodes_to_exclude=_normalization_reshapes(model),
                extra_options={"TensorQuantOverrides": {name: [_UINT8_RANGE] for name in first_inputs}},
            )
        except Exception as error:  # the quantizer raises many types for unsupported graphs
            raise ConversionError(f"the graph cannot be quantized: {error}") from error
        model = onnx.load(path)
    clean_up(model, model.graph.name, [pixels], [value.name for value in model.graph.output])
    check_model(model)
    after = rewrite(bytes(model.SerializeToString(deterministic=True)), [UINT8_INPUT])
    return after.graph, before.rewrites + after.rewrites


# One quantization step per pixel value, because the pixels are uint8 already.
_UINT8_RANGE: Final = {"rmin": np.float32(0), "rmax": np.float32(255)}


class _CalibrationReader:
    """Supplies batches of calibration images to the quantizer."""

    def __init__(self, name: str, images: NDArray[np.uint8]) -> None:
        starts = range(0, len(images), _BATCH_SIZE)
        self._batches = iter([{name: images[start : start + _BATCH_SIZE]} for start in starts])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return next(self._batches, None)


def _first_conv_inputs(model: onnx.ModelProto) -> list[str]:
    """Return the convolution inputs that are the pixels as floats, possibly in another layout."""
    values = {model.graph.input[0].name}
    inputs = []
    for node in model.graph.node:
        if node.input[0] in values and node.op_type in ("Cast", "Transpose", "Reshape"):
            values.update(node.output)
        elif node.input[0] in values and node.op_type == "Conv":
            inputs.append(node.input[0])
    return inputs


def _normalization_reshapes(model: onnx.ModelProto) -> list[str]:
    """Return the Reshape nodes of response normalization, whose quantization would add a rounding."""
    dense_inputs = {node.input[0] for node in model.graph.node if node.op_type in ("MatMul", "Gemm")}
    reshapes = (node for node in model.graph.node if node.op_type == "Reshape")
    return [node.name for node in reshapes if node.output[0] not in dense_inputs]


@contextmanager
def _warnings_disabled() -> Iterator[None]:
    """Disable the warnings that the quantizer sends to the root logger."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)
