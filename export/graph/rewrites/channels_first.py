"""Removes the transposes between channels first and channels last that TensorFlow inserts between layers."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import helper

from .graph_index import GraphIndex, attribute


def cancel_pairs(index: GraphIndex) -> bool:
    """Merge two consecutive Transpose nodes, or remove both if they cancel out."""
    for second in index.nodes:
        first = index.producer(second.input[0], "Transpose") if second.op_type == "Transpose" else None
        if first is None:
            continue
        inner, outer = attribute(first, "perm", None), attribute(second, "perm", None)
        order = [inner[axis] for axis in outer]
        if order == sorted(order) and index.bypass(second, first.input[0]):
            return True
        merged = helper.make_node("Transpose", [first.input[0]], list(second.output), perm=order)
        index.replace([second], [merged])
        return True
    return False


def move_after_split(index: GraphIndex) -> bool:
    """Move a Transpose behind a Split: split along the original axis, then transpose each part."""
    for split in index.nodes:
        transpose = index.sole_producer(split.input[0], "Transpose") if split.op_type == "Split" else None
        if transpose is None:
            continue
        order = attribute(transpose, "perm", None)
        axis = order[attribute(split, "axis", 0) % len(order)]
        parts = [index.new_value("part") for _ in split.output]
        earlier = helper.make_node("Split", [transpose.input[0], *split.input[1:]], parts, axis=axis)
        earlier.attribute.extend(item for item in split.attribute if item.name != "axis")
        transposes = [
            helper.make_node("Transpose", [part], [output], perm=order)
            for part, output in zip(parts, split.output, strict=True)
        ]
        index.replace([transpose, split], [earlier, *transposes])
        return True
    return False


def fold_into_matmul(index: GraphIndex) -> bool:
    """Replace Transpose, Reshape and MatMul by Reshape and MatMul with reordered rows of the matrix."""
    for product in index.nodes:
        match = _match_flatten(index, product) if product.op_type == "MatMul" else None
        if match is None:
            continue
        transpose, flatten, sizes = match
        matrix = index.constant(product.input[1])
        if matrix is None or len(matrix) != math.prod(sizes):
            continue
        order = attribute(transpose, "perm", None)
        # `order` maps the axes after the transpose to those before it; its inverse reorders the rows.
        rows = matrix.reshape(*(sizes[axis - 1] for axis in order[1:]), -1)
        inverse = np.argsort(order[1:])
        reordered = rows.transpose(*inverse, len(order) - 1).reshape(matrix.shape)
        new_flatten = helper.make_node(
            "Reshape", [transpose.input[0], flatten.input[1]], list(flatten.output)
        )
        weights = index.new_constant("dense", reordered)
        new_product = helper.make_node("MatMul", [flatten.output[0], weights], list(product.output))
        index.replace([transpose, flatten, product], [new_flatten, new_product])
        return True
    return False


def _match_flatten(
    index: GraphIndex, product: onnx.NodeProto
) -> tuple[onnx.NodeProto, onnx.NodeProto, list[int]] | None:
    """Return the Transpose and the Reshape before a MatMul, and the shape before them without the batch."""
    flatten = index.sole_producer(product.input[0], "Reshape")
    transpose = None if flatten is None else index.sole_producer(flatten.input[0], "Transpose")
    if flatten is None or transpose is None or attribute(transpose, "perm", [1])[0] != 0:
        return None
    target, sizes = index.constant(flatten.input[1]), index.shape(transpose.input[0])
    if (
        target is None
        or target.tolist()[:1] != [-1]
        or len(target) != 2
        or sizes is None
        or not all(sizes[1:])
    ):
        return None
    return transpose, flatten, sizes[1:]
