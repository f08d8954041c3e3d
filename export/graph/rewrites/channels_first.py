"""Keeps values channels first: what TensorFlow turns to channels last between layers is not turned at all."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import helper

from .graph_index import View, attribute


def cancel(view: View) -> bool:
    """Transpose after Transpose: one, or none where the second undoes the first."""
    for second in view.nodes:
        first = view.maker(second.input[0], "Transpose") if second.op_type == "Transpose" else None
        if first is None:
            continue
        inner, outer = attribute(first, "perm", None), attribute(second, "perm", None)
        order = [inner[axis] for axis in outer]
        if order == sorted(order) and view.bypass(second, first.input[0]):
            return True
        turn = helper.make_node("Transpose", [first.input[0]], list(second.output), perm=order)
        view.replace([second], [turn])
        return True
    return False


def pass_split(view: View) -> bool:
    """Transpose, then Split: Split along the axis the other came from, then a Transpose a part."""
    for split in view.nodes:
        turn = view.sole_maker(split.input[0], "Transpose") if split.op_type == "Split" else None
        if turn is None:
            continue
        order = attribute(turn, "perm", None)
        axis = order[attribute(split, "axis", 0) % len(order)]
        parts = [view.new_value("part") for _ in split.output]
        earlier = helper.make_node("Split", [turn.input[0], *split.input[1:]], parts, axis=axis)
        earlier.attribute.extend(each for each in split.attribute if each.name != "axis")
        turns = [
            helper.make_node("Transpose", [part], [given], perm=order)
            for part, given in zip(parts, split.output, strict=True)
        ]
        view.replace([turn, split], [earlier, *turns])
        return True
    return False


def into_dense(view: View) -> bool:
    """Transpose, then Reshape to rows, then MatMul: the rows of the matrix in another order instead."""
    for product in view.nodes:
        found = _flattened(view, product) if product.op_type == "MatMul" else None
        if found is None:
            continue
        turn, flatten, sizes = found
        matrix = view.constant(product.input[1])
        if matrix is None or len(matrix) != math.prod(sizes):
            continue
        order = attribute(turn, "perm", None)
        # `order` tells where each axis of the turned picture came from; its inverse turns the rows back.
        rows = matrix.reshape(*(sizes[axis - 1] for axis in order[1:]), -1)
        back = np.argsort(order[1:])
        turned = rows.transpose(*back, len(order) - 1).reshape(matrix.shape)
        straight = helper.make_node("Reshape", [turn.input[0], flatten.input[1]], list(flatten.output))
        weights = view.new_constant("dense", turned)
        again = helper.make_node("MatMul", [flatten.output[0], weights], list(product.output))
        view.replace([turn, flatten, product], [straight, again])
        return True
    return False


def _flattened(
    view: View, product: onnx.NodeProto
) -> tuple[onnx.NodeProto, onnx.NodeProto, list[int]] | None:
    """The Transpose and the Reshape before a product, and the axes before the Transpose without the batch."""
    flatten = view.sole_maker(product.input[0], "Reshape")
    turn = None if flatten is None else view.sole_maker(flatten.input[0], "Transpose")
    if flatten is None or turn is None or attribute(turn, "perm", [1])[0] != 0:
        return None
    target, sizes = view.constant(flatten.input[1]), view.axes(turn.input[0])
    if (
        target is None
        or target.tolist()[:1] != [-1]
        or len(target) != 2
        or sizes is None
        or not all(sizes[1:])
    ):
        return None
    return turn, flatten, sizes[1:]
