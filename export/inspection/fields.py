"""Receptive fields: the pixels of the input that each unit of a layer sees."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from ..errors import ConversionError
from .graph_builder import GraphBuilder
from .windows import Pair, Window

_UNIT = (1, 1)
_ORIGIN = (0, 0)


@dataclass(frozen=True)
class Field:
    """The receptive field of unit (0, 0), and the distance between the fields of neighbours, in pixels."""

    size: Pair = _UNIT
    step: Pair = _UNIT
    start: Pair = _ORIGIN

    def behind(self, window: Window) -> Field:
        """Return the field of a layer with this window, whose input has this field."""
        size, step, start = [], [], []
        for axis in range(2):
            size.append(self.size[axis] + (window.extent[axis] - 1) * self.step[axis])
            start.append(self.start[axis] - window.before[axis] * self.step[axis])
            step.append(self.step[axis] * window.stride[axis])
        return Field((size[0], size[1]), (step[0], step[1]), (start[0], start[1]))

    def moved(self, rows: int, columns: int) -> Field:
        """Return the field behind a padding of so many rows and columns above and left."""
        return Field(
            self.size,
            self.step,
            (self.start[0] - rows * self.step[0], self.start[1] - columns * self.step[1]),
        )

    def joined(self, other: Field) -> Field | None:
        """Return the field of a sum of two values; None if their steps differ."""
        if self.step != other.step:
            return None
        start = (min(self.start[0], other.start[0]), min(self.start[1], other.start[1]))
        size = [
            max(self.start[axis] + self.size[axis], other.start[axis] + other.size[axis]) - start[axis]
            for axis in range(2)
        ]
        return Field((size[0], size[1]), self.step, start)


def receptive_fields(graph: GraphBuilder, first: set[str]) -> dict[str, Field | None]:
    """Return the field of each value with feature maps; None if a unit sees the image in no regular way.

    Args:
        first: values whose units are the pixels of the preprocessed image.
    """
    fields: dict[str, Field | None] = {value: Field() for value in first}
    for node in graph.nodes:
        result = node.output[0]
        if result in fields or graph.maps_shape(result) is None:
            continue
        known = [fields[value] for value in node.input if value in fields]
        if known:
            fields[result] = _field(graph, node, known)
    return fields


def _field(graph: GraphBuilder, node: onnx.NodeProto, inputs: list[Field | None]) -> Field | None:
    field = inputs[0]
    for other in inputs[1:]:
        field = None if field is None or other is None else field.joined(other)
    if field is None:
        return None
    if node.op_type in ("Conv", "MaxPool", "AveragePool"):
        try:
            return field.behind(Window.of(graph, node))
        except ConversionError:
            return None
    if node.op_type == "Pad":
        pads = graph.constant(node.input[1])
        return None if pads is None or len(pads) != 8 else field.moved(int(pads[2]), int(pads[3]))
    if node.op_type in ("Transpose", "Reshape", "GlobalAveragePool", "ReduceMean", "MatMul", "Resize"):
        return None
    return field
