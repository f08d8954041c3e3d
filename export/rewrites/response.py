"""Local response normalisation by operators that the runtime has fast kernels for.

ONNX Runtime's LRN on a CPU takes each pixel by itself: in AlexNet more than half of all the time. The sum
over neighbouring channels is a 1x1 convolution with a matrix of ones in a band round its diagonal; and the
power 3/4 is a square root times the square root of it.
"""

from __future__ import annotations

import numpy as np
from onnx import helper

from .view import View, attribute


def unfold(view: View) -> bool:
    """LRN with the exponent 3/4: Mul, Conv, two Sqrt, Mul, Div."""
    for node in view.nodes:
        axes = view.axes(node.input[0]) if node.op_type == "LRN" else None
        if axes is None or not axes[1] or attribute(node, "beta", 0.75) != 0.75:
            continue
        size = attribute(node, "size", None)
        band = _band(axes[1], size) * (attribute(node, "alpha", 1e-4) / size)
        base = np.full(axes[1], attribute(node, "bias", 1.0))
        spread = (1,) * (len(axes) - 2)
        kernel = view.new_constant("band", band.reshape(*band.shape, *spread).astype(np.float32))
        bias = view.new_constant("base", base.astype(np.float32))
        values = node.input[0]
        squares, sums, root, fourth, power = (view.new_value("response") for _ in range(5))
        view.replace(
            [node],
            [
                helper.make_node("Mul", [values, values], [squares]),
                helper.make_node("Conv", [squares, kernel, bias], [sums]),
                helper.make_node("Sqrt", [sums], [root]),
                helper.make_node("Sqrt", [root], [fourth]),
                helper.make_node("Mul", [root, fourth], [power]),
                helper.make_node("Div", [values, power], list(node.output)),
            ],
        )
        return True
    return False


def _band(channels: int, size: int) -> np.typing.NDArray[np.float64]:
    """One where ONNX's LRN sums: from channel - floor((size - 1) / 2) to channel + ceil((size - 1) / 2)."""
    distance = np.arange(channels)[np.newaxis, :] - np.arange(channels)[:, np.newaxis]
    return ((distance >= -((size - 1) // 2)) & (distance <= size // 2)).astype(np.float64)
