"""Gives an int8 convolution the pixels as they are: uint8 need not become floats and uint8 again."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from .graph_index import View, attribute


def as_they_are(view: View) -> bool:
    """Cast to float, moves, QuantizeLinear by one step a grey level: the moves alone."""
    for quantizer in view.nodes:
        if quantizer.op_type != "QuantizeLinear" or not _by_ones(view, quantizer):
            continue
        moves: list[onnx.NodeProto] = []
        value = quantizer.input[0]
        while (move := view.sole_maker(value, "Transpose") or view.sole_maker(value, "Reshape")) is not None:
            moves.insert(0, move)
            value = move.input[0]
        cast = view.sole_maker(value, "Cast")
        if cast is None or attribute(cast, "to", None) != TensorProto.FLOAT:
            continue
        if not view.is_pixels(cast.input[0]):
            continue
        source, new = cast.input[0], []
        for move in moves:
            moved = helper.make_node(move.op_type, [source, *move.input[1:]], [view.new_value("pixels")])
            moved.attribute.extend(move.attribute)
            new.append(moved)
            source = moved.output[0]
        if new:
            new[-1].output[0] = quantizer.output[0]
            view.replace([cast, *moves, quantizer], new)
        elif view.bypass(quantizer, source):
            view.replace([cast], [])
        else:
            continue
        return True
    return False


def _by_ones(view: View, quantizer: onnx.NodeProto) -> bool:
    scale, zero = view.constant(quantizer.input[1]), view.constant(quantizer.input[2])
    return (
        scale is not None and zero is not None and scale.size == 1 and scale.item() == 1 and zero.item() == 0
    )
