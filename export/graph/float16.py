"""Converts graphs to float16, which halves their size, for devices with float16 arithmetic.

The input, the output, softmax, the logarithm of probabilities and the squares of response normalization keep
their types: the largest float16 number is 65,504.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.checker import check_model

from ..errors import ConversionError
from .graph_cleanup import clean_up
from .rewrites import FLOAT32_WEIGHTS, rewrite

METHOD: Final = "float16, except softmax and response normalization"

# The operators of response normalization after the rewrites, except for its convolution.
_SQUARE: Final = "Mul"
_FLOAT32_OPERATORS: Final = ["Softmax", "LRN", "Log", "Max", _SQUARE, "Sqrt", "Div", "Pow"]


def to_float16(graph: bytes, images: NDArray[np.uint8]) -> tuple[bytes, tuple[str, ...]]:
    """Convert a graph to float16.

    Args:
        graph: the ONNX file.
        images: not used; float16 needs no calibration.

    Returns:
        The new ONNX file and the names of the rewrites applied before the conversion.

    Raises:
        ConversionError: the graph cannot be converted.
    """
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    before = rewrite(graph, [FLOAT32_WEIGHTS])
    model = onnx.load_from_string(before.graph)
    inputs, outputs = ([value.name for value in values] for values in (model.graph.input, model.graph.output))
    try:
        model = convert_float_to_float16(
            model,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_FLOAT32_OPERATORS],
            node_block_list=_square_sums(model),
        )
        OnnxModel(model).topological_sort()  # the converter appends its casts at the end
    except Exception as error:  # the converter raises many types for unsupported graphs
        raise ConversionError(f"the graph cannot be converted to float16: {error}") from error
    clean_up(model, model.graph.name, inputs, outputs)
    check_model(model)
    return bytes(model.SerializeToString(deterministic=True)), before.rewrites


def _square_sums(model: onnx.ModelProto) -> list[str]:
    """Return the names of the convolutions that sum squares."""
    squares = {node.output[0] for node in model.graph.node if node.op_type == _SQUARE}
    return [node.name for node in model.graph.node if node.op_type == "Conv" and node.input[0] in squares]
