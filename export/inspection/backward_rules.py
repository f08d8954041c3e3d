"""The backward form of each operator: the gradient of its inputs, from that of its output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import onnx

from ..errors import ConversionError
from ..graph.rewrites.graph_index import attribute
from .convolution_rule import convolution
from .graph_builder import GraphBuilder
from .pooling_rules import average_pool, global_average_pool, max_pool

# Takes the graph, a node and the gradient of its first output; returns gradients by the input's position.
Rule = Callable[[GraphBuilder, onnx.NodeProto, str], Mapping[int, str]]


def _same(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    return {0: gradient}


def _reshaped(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    return {0: graph.add("Reshape", [gradient, graph.add("Shape", [node.input[0]])])}


def _transpose(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    axes = len(graph.shape(node.input[0]))
    order = attribute(node, "perm", list(reversed(range(axes))))
    return {0: graph.add("Transpose", [gradient], perm=np.argsort(order).tolist())}


def _add(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    return {place: _unbroadcast(graph, gradient, node, place) for place in _varying(graph, node)}


def _subtract(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    signed = {0: gradient, 1: graph.add("Neg", [gradient])}
    return {place: _unbroadcast(graph, signed[place], node, place) for place in _varying(graph, node)}


def _multiply(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    return {
        place: _unbroadcast(graph, graph.add("Mul", [gradient, node.input[1 - place]]), node, place)
        for place in _varying(graph, node)
    }


def _divide(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    found = {}
    quotient = graph.add("Div", [gradient, node.input[1]])
    if graph.varies(node.input[0]):
        found[0] = _unbroadcast(graph, quotient, node, 0)
    if graph.varies(node.input[1]):
        whole = graph.add("Neg", [graph.add("Mul", [quotient, node.output[0]])])
        found[1] = _unbroadcast(graph, whole, node, 1)
    return found


def _relu(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    return {0: _where_greater(graph, node.output[0], 0.0, gradient)}


def _leaky_relu(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    slope = graph.number(attribute(node, "alpha", 0.01))
    positive = graph.add("Greater", [node.input[0], graph.number(0.0)])
    return {0: graph.add("Where", [positive, gradient, graph.add("Mul", [gradient, slope])])}


def _prelu(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    positive = graph.add("Greater", [node.input[0], graph.number(0.0)])
    return {0: graph.add("Where", [positive, gradient, graph.add("Mul", [gradient, node.input[1]])])}


def _elu(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    # The slope is alpha * exp(x) = output + alpha for negative x.
    slope = graph.add("Add", [node.output[0], graph.number(attribute(node, "alpha", 1.0))])
    positive = graph.add("Greater", [node.input[0], graph.number(0.0)])
    return {0: graph.add("Where", [positive, gradient, graph.add("Mul", [gradient, slope])])}


def _clip(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    result = gradient
    for place, comparison in ((1, "Greater"), (2, "Less")):
        if len(node.input) > place and node.input[place]:
            inside = graph.add(comparison, [node.input[0], node.input[place]])
            result = graph.add("Where", [inside, result, graph.number(0.0)])
    return {0: result}


def _sigmoid(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    rest = graph.add("Sub", [graph.number(1.0), node.output[0]])
    return {0: graph.add("Mul", [gradient, graph.add("Mul", [node.output[0], rest])])}


def _tanh(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    square = graph.add("Mul", [node.output[0], node.output[0]])
    return {0: graph.add("Mul", [gradient, graph.add("Sub", [graph.number(1.0), square])])}


def _square_root(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    return {0: graph.add("Div", [gradient, graph.add("Mul", [node.output[0], graph.number(2.0)])])}


def _exponential(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    return {0: graph.add("Mul", [gradient, node.output[0]])}


def _negative(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    return {0: graph.add("Neg", [gradient])}


def _error_function(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    square = graph.add("Mul", [node.input[0], node.input[0]])
    bell = graph.add("Exp", [graph.add("Neg", [square])])
    slope = graph.add("Mul", [bell, graph.number(2.0 / np.sqrt(np.pi))])
    return {0: graph.add("Mul", [gradient, slope])}


def _power(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    exponent = graph.constant(node.input[1])
    if exponent is None or exponent.size != 1:
        raise ConversionError("Pow has no backward form here: its exponent is not a constant number")
    power = float(exponent.reshape(()))
    lower = graph.add("Pow", [node.input[0], graph.number(power - 1.0)])
    return {0: graph.add("Mul", [gradient, graph.add("Mul", [lower, graph.number(power)])])}


def _matmul(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    _check_product(graph, node)
    return {0: graph.add("Gemm", [gradient, node.input[1]], transB=1)}


def _gemm(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    _check_product(graph, node)
    if attribute(node, "transA", 0):
        raise ConversionError("Gemm has no backward form here: its first operand is transposed")
    transposed = 1 - attribute(node, "transB", 0)
    factor = attribute(node, "alpha", 1.0)
    return {0: graph.add("Gemm", [gradient, node.input[1]], transB=transposed, alpha=factor)}


def _check_product(graph: GraphBuilder, node: onnx.NodeProto) -> None:
    if len(graph.shape(node.input[0])) != 2 or graph.varies(node.input[1]):
        raise ConversionError(f"{node.op_type} has no backward form here: it is not a dense layer")


def _batch_normalization(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    _, scale, _, _, variance = node.input
    root = graph.add("Sqrt", [graph.add("Add", [variance, graph.number(attribute(node, "epsilon", 1e-5))])])
    spread = [-1] + [1] * (len(graph.shape(node.input[0])) - 2)
    slope = graph.add("Reshape", [graph.add("Div", [scale, root]), graph.axes(*spread)])
    return {0: graph.add("Mul", [gradient, slope])}


def _reduce_mean(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    axes = _reduced(graph, node)
    shape = graph.shape(node.input[0])
    count = np.prod([shape[axis] or 0 for axis in axes])
    if not count:
        raise ConversionError("ReduceMean has no backward form here: it takes the mean over the batch")
    (total,) = _reduce_sum(graph, node, gradient).values()
    return {0: graph.add("Mul", [total, graph.number(1.0 / float(count))])}


def _reduce_sum(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    if not attribute(node, "keepdims", 1):
        gradient = graph.add("Unsqueeze", [gradient, graph.axes(*_reduced(graph, node))])
    return {0: graph.add("Expand", [gradient, graph.add("Shape", [node.input[0]])])}


def _reduced(graph: GraphBuilder, node: onnx.NodeProto) -> list[int]:
    axes = attribute(node, "axes", None)
    if axes is None and len(node.input) > 1 and node.input[1]:
        constant = graph.constant(node.input[1])
        axes = None if constant is None else constant.tolist()
    count = len(graph.shape(node.input[0]))
    return sorted(axis % count for axis in (range(count) if axes is None else axes))


def _concatenation(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    axis = attribute(node, "axis", 0)
    found, start = {}, 0
    for place, value in enumerate(node.input):
        size = graph.shape(value)[axis]
        if size is None:
            raise ConversionError("Concat has no backward form here: a size is unknown")
        if graph.varies(value):
            limits = [graph.axes(start), graph.axes(start + size), graph.axes(axis)]
            found[place] = graph.add("Slice", [gradient, *limits])
        start += size
    return found


def _pad(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    pads = graph.constant(node.input[1])
    if attribute(node, "mode", b"constant") != b"constant" or pads is None or len(node.input) > 3:
        raise ConversionError("Pad has no backward form here: only constant padding of all axes has one")
    count = len(pads) // 2
    begin = pads[:count]
    stop = [-int(pad) if pad else np.iinfo(np.int64).max for pad in pads[count:]]
    limits = [graph.axes(*begin.tolist()), graph.axes(*stop), graph.axes(*range(count))]
    return {0: graph.add("Slice", [gradient, *limits])}


def _where_greater(graph: GraphBuilder, value: str, limit: float, gradient: str) -> str:
    return graph.add("Where", [graph.add("Greater", [value, graph.number(limit)]), gradient, graph.number(0)])


def _varying(graph: GraphBuilder, node: onnx.NodeProto) -> list[int]:
    return [place for place, value in enumerate(node.input) if graph.varies(value)]


def _unbroadcast(graph: GraphBuilder, gradient: str, node: onnx.NodeProto, place: int) -> str:
    """Sum the gradient over the axes along which an operand was repeated."""
    result, operand = graph.shape(node.output[0]), graph.shape(node.input[place])
    missing = len(result) - len(operand)
    repeated = [
        axis
        for axis, size in enumerate(result)
        if axis < missing or (operand[axis - missing] == 1 and size != 1)
    ]
    if repeated:
        gradient = graph.add("ReduceSum", [gradient, graph.axes(*repeated)], keepdims=1)
    if missing:
        gradient = graph.add("Reshape", [gradient, graph.add("Shape", [node.input[place]])])
    return gradient


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "Add": _add,
        "AveragePool": average_pool,
        "BatchNormalization": _batch_normalization,
        "Cast": _same,
        "Clip": _clip,
        "Concat": _concatenation,
        "Conv": convolution,
        "Div": _divide,
        "Dropout": _same,
        "Elu": _elu,
        "Erf": _error_function,
        "Exp": _exponential,
        "Flatten": _reshaped,
        "Gemm": _gemm,
        "GlobalAveragePool": global_average_pool,
        "Identity": _same,
        "LeakyRelu": _leaky_relu,
        "MatMul": _matmul,
        "MaxPool": max_pool,
        "Mul": _multiply,
        "Neg": _negative,
        "PRelu": _prelu,
        "Pad": _pad,
        "Pow": _power,
        "ReduceMean": _reduce_mean,
        "ReduceSum": _reduce_sum,
        "Relu": _relu,
        "Reshape": _reshaped,
        "Sigmoid": _sigmoid,
        "Sqrt": _square_root,
        "Squeeze": _reshaped,
        "Sub": _subtract,
        "Sum": _add,
        "Tanh": _tanh,
        "Transpose": _transpose,
        "Unsqueeze": _reshaped,
    }
)
