"""A graph in float16: half the size, for devices that multiply in it.

Weights and activations become numbers of 16 bits; what goes in and comes out stays as it is. So do the shares
of a softmax, and the squares of response normalisation: the largest number of 16 bits is 65,504.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.checker import check_model

from ..errors import ConversionError
from .graph_cleanup import tidy
from .rewrites import WHOLE, rewrite

METHOD: Final = "float16, but for softmax and response normalisation"

# The operators of a normalisation as the export writes it; between them is a convolution.
_SQUARES: Final = "Mul"
_IN_FLOAT: Final = ["Softmax", "LRN", _SQUARES, "Sqrt", "Div", "Pow"]


def halved(graph: bytes, pictures: NDArray[np.uint8]) -> tuple[bytes, tuple[str, ...]]:
    """The graph in float16, and the rewrites before; `pictures` change nothing.

    Raises:
        ConversionError: it cannot be converted.
    """
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    before = rewrite(graph, [WHOLE])
    model = onnx.load_from_string(before.graph)
    inputs, outputs = ([value.name for value in values] for values in (model.graph.input, model.graph.output))
    try:
        model = convert_float_to_float16(
            model,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_IN_FLOAT],
            node_block_list=_sums(model),
        )
        OnnxModel(model).topological_sort()  # it leaves its casts at the end
    except Exception as error:  # the converter raises all kinds on what it does not know
        raise ConversionError(f"the graph cannot be put in float16: {error}") from error
    tidy(model, model.graph.name, inputs, outputs)
    check_model(model)
    return bytes(model.SerializeToString(deterministic=True)), before.rewrites


def _sums(model: onnx.ModelProto) -> list[str]:
    """The convolutions that add up squares."""
    squares = {node.output[0] for node in model.graph.node if node.op_type == _SQUARES}
    return [node.name for node in model.graph.node if node.op_type == "Conv" and node.input[0] in squares]
