"""A graph in int8: a quarter of the size, and less to compute.

Static quantisation in the QDQ format (B. Jacob et al., CVPR 2018; onnxruntime.quantization): weights int8 a
channel, of seven bits, for the products of eight saturate where a CPU has AVX2 and no VNNI; activations
uint8, their ranges from training pictures. Response normalisation stays in float32, for its squares range too
far; the pixels stay as they are.
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
from .graph_cleanup import tidy
from .rewrites import CHANNELS_LAST, FASTER, PIXELS, WHOLE, rewrite

METHOD: Final = "static, QDQ, int8 weights a channel in 7 bits, uint8 activations, MinMax"

_BATCH: Final = 32
_KINDS: Final = ["Conv", "MatMul", "Gemm", "MaxPool", "Relu", "Reshape"]


def quantized(graph: bytes, pictures: NDArray[np.uint8]) -> tuple[bytes, tuple[str, ...]]:
    """The graph in int8, with the ranges that these pictures make, and the rewrites before and after.

    Raises:
        ConversionError: it cannot be quantised.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    before = rewrite(graph, [WHOLE, *FASTER, CHANNELS_LAST])
    model = onnx.load_from_string(before.graph)
    pixels, first = model.graph.input[0].name, _first_values(model)
    with TemporaryDirectory() as folder, _silence():
        path = Path(folder) / "int8.onnx"
        try:
            quantize_static(
                model,
                path,
                _Reader(pixels, pictures),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=_KINDS,
                nodes_to_exclude=_in_float(model),
                extra_options={"TensorQuantOverrides": {name: [_AS_THEY_ARE] for name in first}},
            )
        except Exception as error:  # the quantiser raises all kinds on what it does not know
            raise ConversionError(f"the graph cannot be quantised: {error}") from error
        model = onnx.load(path)
    tidy(model, model.graph.name, [pixels], [value.name for value in model.graph.output])
    check_model(model)
    after = rewrite(bytes(model.SerializeToString(deterministic=True)), [PIXELS])
    return after.graph, before.rewrites + after.rewrites


# One step a grey level: the pixels are int8 already.
_AS_THEY_ARE: Final = {"rmin": np.float32(0), "rmax": np.float32(255)}


class _Reader:
    """What the quantiser calls for pictures until there are none."""

    def __init__(self, name: str, pictures: NDArray[np.uint8]) -> None:
        starts = range(0, len(pictures), _BATCH)
        self._batches = iter([{name: pictures[start : start + _BATCH]} for start in starts])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return next(self._batches, None)


def _first_values(model: onnx.ModelProto) -> list[str]:
    """The values that are the pixels themselves, as floats, where a convolution takes them."""
    values = {model.graph.input[0].name}
    taken = []
    for node in model.graph.node:
        if node.input[0] in values and node.op_type in ("Cast", "Transpose", "Reshape"):
            values.update(node.output)
        elif node.input[0] in values and node.op_type == "Conv":
            taken.append(node.input[0])
    return taken


def _in_float(model: onnx.ModelProto) -> list[str]:
    """The nodes that only move a normalisation's values: quantised, they would be rounded once more."""
    products = {node.input[0] for node in model.graph.node if node.op_type in ("MatMul", "Gemm")}
    moves = (node for node in model.graph.node if node.op_type == "Reshape")
    return [node.name for node in moves if node.output[0] not in products]


@contextmanager
def _silence() -> Iterator[None]:
    """Without the quantiser's advice, which it gives through the root logger."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)
