"""Large weights that 16 bits can say are kept in 16 bits: half the file, the same numbers.

ONNX Runtime makes 32 bits of them as it opens the file, where it computes what follows from constants alone.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from .graph_index import View, attribute

# Values; fewer are not worth a node.
_LARGE: Final = 4096


def keep(view: View) -> bool:
    """A constant of 32 bits: one of 16, and a Cast."""
    for node in view.nodes:
        for place, name in enumerate(node.input):
            values = view.constant(name)
            if values is None or values.size < _LARGE or not fits(values):
                continue
            half = view.new_constant("half", values.astype(np.float16))
            cast = helper.make_node("Cast", [half], [view.new_value("whole")], to=TensorProto.FLOAT)
            node.input[place] = cast.output[0]
            view.replace([node], [cast, node])
            return True
    return False


def restore(view: View) -> bool:
    """The reverse, for those who look for the weights among the constants."""
    for node in view.nodes:
        values = view.constant(node.input[0]) if node.op_type == "Cast" else None
        if values is None or values.dtype != np.float16 or attribute(node, "to", None) != TensorProto.FLOAT:
            continue
        if view.bypass(node, view.new_constant("whole", values.astype(np.float32))):
            return True
    return False


def fits(values: NDArray[Any]) -> bool:
    """Whether these are float32, and each of them a number of float16."""
    if values.dtype != np.float32:
        return False
    with np.errstate(over="ignore"):
        return bool(np.array_equal(values.astype(np.float16).astype(np.float32), values))
