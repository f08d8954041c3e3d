"""Replaces local response normalization by operators with fast kernels.

ONNX Runtime's LRN on a CPU processes each pixel separately and takes more than half of AlexNet's time. The
sum over neighbouring channels is a 1x1 convolution with a band matrix of ones; the power 3/4 is the square
root times its own square root.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from .graph_index import GraphIndex, attribute


def decompose(index: GraphIndex) -> bool:
    """Replace LRN with the exponent 3/4 by Mul, Conv, two Sqrt, Mul and Div."""
    for node in index.nodes:
        shape = index.shape(node.input[0]) if node.op_type == "LRN" else None
        if shape is None or not shape[1] or attribute(node, "beta", 0.75) != 0.75:
            continue
        size = attribute(node, "size", None)
        band = _band(shape[1], size) * (attribute(node, "alpha", 1e-4) / size)
        base = np.full(shape[1], attribute(node, "bias", 1.0))
        spread = (1,) * (len(shape) - 2)
        kernel = index.new_constant("band", band.reshape(*band.shape, *spread).astype(np.float32))
        bias = index.new_constant("base", base.astype(np.float32))
        values = node.input[0]
        squares, sums, root, fourth, power = (index.new_value("response") for _ in range(5))
        index.replace(
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
    """Return the matrix of LRN: 1 from channel - floor((size - 1) / 2) to channel + ceil((size - 1) / 2)."""
    distance = np.arange(channels)[np.newaxis, :] - np.arange(channels)[:, np.newaxis]
    return ((distance >= -((size - 1) // 2)) & (distance <= size // 2)).astype(np.float64)


def channels_last(index: GraphIndex) -> bool:
    """Change the result of `decompose` to channels last, with a mean over channels in place of the sum.

    ONNX Runtime's int8 convolutions and poolings on a CPU use channels last, so these transposes cancel out
    with those of the runtime, and a mean along the last axis is faster than the product. The factor between
    mean and sum is moved out of the power into the weights of the next convolution, to save a pass over the
    values. Squares use Pow, because the runtime would convert both operands of a Mul from int8.
    """
    for division in index.nodes:
        match = _match_decomposed(index, division) if division.op_type == "Div" else None
        shape = index.shape(division.input[0])
        conv = _next_convolution(index, division.output[0])
        if match is None or conv is None or shape is None or not all(shape[1:]):
            continue
        nodes, size, factor, base = match
        _, channels, height, width = shape
        flat = index.new_constant("flat", np.array([-1, 1, height * width, channels]))
        square = index.new_constant("square", np.array([-1, height, width, channels]))
        two = index.new_constant("two", np.array(2, np.float32))
        offset = index.new_constant("base", np.array(base / factor, np.float32))
        names = ("last", "squares", "rows", "means", "sums", "root", "fourth", "power", "divided", "whole")
        last, squares, rows, means, sums, root, fourth, power, divided, whole = map(index.new_value, names)
        pads = [0, (size - 1) // 2, 0, size // 2]
        kernel = index.constant(conv.input[1])
        assert kernel is not None
        conv.input[1] = index.new_constant("scaled", (kernel * factor**-0.75).astype(kernel.dtype))
        index.replace(
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


def _next_convolution(index: GraphIndex, value: str) -> onnx.NodeProto | None:
    """Return the only consumer, possibly behind a MaxPool, if it is a Conv with constant weights."""
    consumers = index.consumers(value)
    if len(consumers) != 1:
        return None
    (consumer,) = consumers
    if consumer.op_type == "MaxPool":
        return _next_convolution(index, consumer.output[0])
    matches = consumer.op_type == "Conv" and index.constant(consumer.input[1]) is not None
    return consumer if matches else None


def _match_decomposed(
    index: GraphIndex, division: onnx.NodeProto
) -> tuple[list[onnx.NodeProto], int, float, float] | None:
    """Return the nodes of a decomposed LRN that ends in `division`, its size, factor and base."""
    power = index.sole_producer(division.input[1], "Mul")
    fourth = None if power is None else index.sole_producer(power.input[1], "Sqrt")
    root = None if fourth is None else index.producer(fourth.input[0], "Sqrt")
    sums = None if root is None else index.sole_producer(root.input[0], "Conv")
    squares = None if sums is None else index.sole_producer(sums.input[0], "Mul")
    if power is None or fourth is None or root is None or sums is None or squares is None:
        return None
    if list(squares.input) != [division.input[0]] * 2 or power.input[0] != root.output[0]:
        return None
    kernel, base = index.constant(sums.input[1]), index.constant(sums.input[2])
    if kernel is None or base is None or kernel.shape[2:] != (1, 1) or kernel.shape[0] != kernel.shape[1]:
        return None
    band, alpha = kernel[:, :, 0, 0], float(kernel.max())
    size = int(np.count_nonzero(band[len(band) // 2]))
    if np.ptp(base) or not np.array_equal(band, (_band(len(band), size) * alpha).astype(band.dtype)):
        return None
    return [squares, sums, root, fourth, power, division], size, alpha * size, float(base[0])
