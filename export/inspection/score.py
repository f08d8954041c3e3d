"""Finds the scores of a classifier before its softmax, and the layer whose contributions add up to them."""

from __future__ import annotations

from typing import Final

import onnx

from ..graph.rewrites.graph_index import attribute
from .graph_builder import GraphBuilder

# Operators that are linear in their first input, except for a constant.
_AFFINE: Final = (
    *("Transpose", "Reshape", "Flatten", "Identity", "Dropout", "Squeeze", "Unsqueeze", "Cast"),
    *("GlobalAveragePool", "ReduceMean"),
)
_WEIGHTED: Final = ("MatMul", "Gemm")
_SUMS: Final = ("Add", "Sub", "Mul", "Div")


def logits_of(graph: GraphBuilder, output: str) -> str:
    """Return the value before the final softmax or sigmoid of a column; its output without one."""
    value = output
    node = graph.producers.get(value)
    while node is not None and node.op_type in ("Identity", "Cast", "Reshape", "Squeeze", "Flatten"):
        if not _keeps_shape(graph, node):
            break
        value = node.input[0]
        node = graph.producers.get(value)
    if node is not None and node.op_type == "Sigmoid":
        return node.input[0]
    if node is not None and node.op_type == "Softmax" and attribute(node, "axis", -1) in (-1, 1):
        return node.input[0]
    return value


def _keeps_shape(graph: GraphBuilder, node: onnx.NodeProto) -> bool:
    return graph.shape(node.input[0]) == graph.shape(node.output[0])


def exact_maps(graph: GraphBuilder, logits: str) -> str | None:
    """Return the feature maps from which one dense layer computes the scores; None if there are none.

    The product of these maps and their gradients adds up to the score, except for a constant.
    """
    value, found = logits, None
    dense = 0
    while (node := graph.producers.get(value)) is not None:
        inputs = [name for name in node.input if graph.varies(name)]
        if len(inputs) != 1 or not _is_affine(node) or (node.op_type == "Div" and inputs[0] != node.input[0]):
            break
        if node.op_type in _WEIGHTED:
            dense += 1
        if dense > 1:
            return None
        value = inputs[0]
        shape = graph.maps_shape(value)
        if shape is not None:
            found = value
    if found is None or dense == 0:
        return None
    maps = graph.maps_shape(found)
    return found if maps is not None and maps[1] * maps[2] > 1 else None


def _is_affine(node: onnx.NodeProto) -> bool:
    return node.op_type in (*_AFFINE, *_WEIGHTED, *_SUMS)
