"""Local response normalisation by operators that the runtime has fast kernels for.

ONNX Runtime's LRN on a CPU takes each pixel by itself: in AlexNet more than half of all the time. The sum
over neighbouring channels is a 1x1 convolution with a matrix of ones in a band round its diagonal; and the
power 3/4 is a square root times the square root of it.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from .graph_index import View, attribute


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


def _band(channels: int, size: int) -> NDArray[np.float64]:
    """One where ONNX's LRN sums: from channel - floor((size - 1) / 2) to channel + ceil((size - 1) / 2)."""
    distance = np.arange(channels)[np.newaxis, :] - np.arange(channels)[:, np.newaxis]
    return ((distance >= -((size - 1) // 2)) & (distance <= size // 2)).astype(np.float64)


def channels_last(view: View) -> bool:
    """What `unfold` has made, with channels last and the sum as a mean over neighbours along the last axis.

    ONNX Runtime's int8 convolutions and poolings on a CPU take and give channels last, so that the turns
    there and back cancel with its own; and along the last axis a mean takes less time than the product. As
    each pass over the values counts, the factor of the mean is taken out of the power, and the next
    convolution's weights are multiplied with what comes of it. Squares are a power and no product, for which
    the runtime would make floats of int8 twice.
    """
    for division in view.nodes:
        found = _unfolded(view, division) if division.op_type == "Div" else None
        axes = view.axes(division.input[0])
        conv = _next_convolution(view, division.output[0])
        if found is None or conv is None or axes is None or not all(axes[1:]):
            continue
        nodes, size, factor, base = found
        _, channels, height, width = axes
        flat = view.new_constant("flat", np.array([-1, 1, height * width, channels]))
        square = view.new_constant("square", np.array([-1, height, width, channels]))
        two = view.new_constant("two", np.array(2, np.float32))
        offset = view.new_constant("base", np.array(base / factor, np.float32))
        names = ("last", "squares", "rows", "means", "sums", "root", "fourth", "power", "divided", "whole")
        last, squares, rows, means, sums, root, fourth, power, divided, whole = map(view.new_value, names)
        pads = [0, (size - 1) // 2, 0, size // 2]
        kernel = view.constant(conv.input[1])
        assert kernel is not None
        conv.input[1] = view.new_constant("scaled", (kernel * factor**-0.75).astype(kernel.dtype))
        view.replace(
            nodes,
            [
                helper.make_node("Transpose", [division.input[0]], [last], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [last, flat], [rows]),
                helper.make_node("Pow", [rows, two], [squares]),
                helper.make_node(
                    "AveragePool", [squares], [means], kernel_shape=[1, size], pads=pads, count_include_pad=1
                ),
                helper.make_node("Add", [means, offset], [sums]),
                helper.make_node("Sqrt", [sums], [root]),
                helper.make_node("Sqrt", [root], [fourth]),
                helper.make_node("Mul", [root, fourth], [power]),
                helper.make_node("Div", [rows, power], [divided]),
                helper.make_node("Reshape", [divided, square], [whole]),
                helper.make_node("Transpose", [whole], list(division.output), perm=[0, 3, 1, 2]),
            ],
        )
        return True
    return False


def _next_convolution(view: View, value: str) -> onnx.NodeProto | None:
    """The convolution that alone takes a value, perhaps pooled, and whose weights are constant."""
    users = view.users(value)
    if len(users) != 1:
        return None
    (user,) = users
    if user.op_type == "MaxPool":
        return _next_convolution(view, user.output[0])
    known = user.op_type == "Conv" and view.constant(user.input[1]) is not None
    return user if known else None


def _unfolded(view: View, division: onnx.NodeProto) -> tuple[list[onnx.NodeProto], int, float, float] | None:
    """The nodes of a normalisation that ends in this one, its size, the factor of the mean, and the base."""
    power = view.sole_maker(division.input[1], "Mul")
    fourth = None if power is None else view.sole_maker(power.input[1], "Sqrt")
    root = None if fourth is None else view.maker(fourth.input[0], "Sqrt")
    sums = None if root is None else view.sole_maker(root.input[0], "Conv")
    squares = None if sums is None else view.sole_maker(sums.input[0], "Mul")
    if power is None or fourth is None or root is None or sums is None or squares is None:
        return None
    if list(squares.input) != [division.input[0]] * 2 or power.input[0] != root.output[0]:
        return None
    kernel, base = view.constant(sums.input[1]), view.constant(sums.input[2])
    if kernel is None or base is None or kernel.shape[2:] != (1, 1) or kernel.shape[0] != kernel.shape[1]:
        return None
    band, alpha = kernel[:, :, 0, 0], float(kernel.max())
    size = int(np.count_nonzero(band[len(band) // 2]))
    if np.ptp(base) or not np.array_equal(band, (_band(len(band), size) * alpha).astype(band.dtype)):
        return None
    return [squares, sums, root, fourth, power, division], size, alpha * size, float(base[0])
