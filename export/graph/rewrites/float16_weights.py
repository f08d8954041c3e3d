"""Stores large weights in float16 if this loses no precision, which halves the file.

ONNX Runtime converts them to float32 when it loads the graph, by constant folding.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from .graph_index import GraphIndex, attribute

# In values; smaller weights do not justify an additional node.
_MIN_LARGE_WEIGHT: Final = 4096


def store_as_float16(index: GraphIndex) -> bool:
    """Replace a float32 constant by a float16 constant and a Cast."""
    for node in index.nodes:
        for position, name in enumerate(node.input):
            values = index.constant(name)
            if values is None or values.size < _MIN_LARGE_WEIGHT or not is_exact_in_float16(values):
                continue
            half = index.new_constant("half", values.astype(np.float16))
            cast = helper.make_node("Cast", [half], [index.new_value("whole")], to=TensorProto.FLOAT)
            node.input[position] = cast.output[0]
            index.replace([node], [cast, node])
            return True
    return False


def restore_float32(index: GraphIndex) -> bool:
    """Replace a float16 constant and its Cast by a float32 constant."""
    for node in index.nodes:
        values = index.constant(node.input[0]) if node.op_type == "Cast" else None
        if values is None or values.dtype != np.float16 or attribute(node, "to", None) != TensorProto.FLOAT:
            continue
        if index.bypass(node, index.new_constant("whole", values.astype(np.float32))):
            return True
    return False


def is_exact_in_float16(values: NDArray[Any]) -> bool:
    """Return True for float32 values that float16 represents exactly."""
    if values.dtype != np.float32:
        return False
    with np.errstate(over="ignore"):
        return bool(np.array_equal(values.astype(np.float16).astype(np.float32), values))
