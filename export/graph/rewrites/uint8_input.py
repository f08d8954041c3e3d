"""Passes uint8 pixels to an int8 convolution directly, without a conversion to float and back."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from .graph_index import GraphIndex, attribute


def feed_uint8(index: GraphIndex) -> bool:
    """Remove a Cast to float and a QuantizeLinear with unit steps, and keep layout changes between them."""
    for quantizer in index.nodes:
        if quantizer.op_type != "QuantizeLinear" or not _has_unit_step(index, quantizer):
            continue
        layouts: list[onnx.NodeProto] = []
        value = quantizer.input[0]
        while (
            layout := index.sole_producer(value, "Transpose") or index.sole_producer(value, "Reshape")
        ) is not None:
            layouts.insert(0, layout)
            value = layout.input[0]
        cast = index.sole_producer(value, "Cast")
        if cast is None or attribute(cast, "to", None) != TensorProto.FLOAT:
            continue
        if not index.is_uint8_input(cast.input[0]):
            continue
        source, new = cast.input[0], []
        for layout in layouts:
            new_layout = helper.make_node(
                layout.op_type, [source, *layout.input[1:]], [index.new_value("pixels")]
            )
            new_layout.attribute.extend(layout.attribute)
            new.append(new_layout)
            source = new_layout.output[0]
        if new:
            new[-1].output[0] = quantizer.output[0]
            index.replace([cast, *layouts, quantizer], new)
        elif index.bypass(quantizer, source):
            index.replace([cast], [])
        else:
            continue
        return True
    return False


def _has_unit_step(index: GraphIndex, quantizer: onnx.NodeProto) -> bool:
    scale, zero = index.constant(quantizer.input[1]), index.constant(quantizer.input[2])
    return (
        scale is not None and zero is not None and scale.size == 1 and scale.item() == 1 and zero.item() == 0
    )
