"""Renders the layers of a graph as a table of a model card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ..graph.rewrites.graph_index import attribute
from ..graph.structure import GraphStructure, Layer

_MAX_ROWS: Final = 80

# Operators of ONNX by their usual names; others keep the name of ONNX.
_NAMES: Final = {
    "Conv": "convolution",
    "MatMul": "dense",
    "Gemm": "dense",
    "MaxPool": "max pooling",
    "AveragePool": "average pooling",
    "GlobalAveragePool": "global average pooling",
    "Relu": "ReLU",
    "Tanh": "hyperbolic tangent",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
    "LRN": "local response normalization",
    "BatchNormalization": "batch normalization",
    "Add": "sum",
    "Concat": "concatenation",
}


def render(structure: GraphStructure) -> Iterator[str]:
    """Yield the lines of a Markdown section; nothing without layers.

    The layers of ensemble members are shown once if they are the same in each.
    """
    members = structure.members()
    tables = [[_row(layer) for layer in structure.layers(output)] for output in members]
    same = all(table == tables[0] for table in tables)
    if not any(tables):
        return
    yield from ("## Layers", "")
    if len(members) > 1 and same:
        yield from (f"Each of the {len(members)} members:", "")
    for number, rows in enumerate(tables[:1] if same else tables, start=1):
        if not same:
            yield from (f"Member {number}:", "")
        yield from ("| layer | output | parameters |", "| --- | --- | ---: |")
        yield from (
            f"| {layer} | {output} | {parameters} |" for layer, output, parameters in rows[:_MAX_ROWS]
        )
        if len(rows) > _MAX_ROWS:
            yield f"| and {len(rows) - _MAX_ROWS:,} more | | |"
        yield ""


def _row(layer: Layer) -> tuple[str, str, str]:
    name = _NAMES.get(layer.node.op_type, layer.node.op_type)
    details = list(_details(layer))
    return (
        ", ".join([name, *details]),
        _format_shape(layer.shape),
        f"{layer.parameters:,}" if layer.parameters else "",
    )


def _details(layer: Layer) -> Iterator[str]:
    node = layer.node
    if layer.kernel is not None and layer.kernel.ndim == 4:
        yield "x".join(map(str, layer.kernel.shape[2:]))
        if (groups := attribute(node, "group", 1)) > 1:
            yield f"{groups} groups"
    elif node.op_type.endswith("Pool"):
        window = attribute(node, "kernel_shape", None)
        if window:
            yield "x".join(map(str, window))
    strides = attribute(node, "strides", None)
    if strides and layer.kernel is not None and set(strides) != {1}:
        yield f"stride {strides[0]}"


def _format_shape(shape: Sequence[int | None] | None) -> str:
    if shape is None:
        return "?"
    sizes = ["any" if axis is None else str(axis) for axis in shape]
    if len(shape) == 3:  # convolutions of ONNX have the channels first
        size = "any size" if shape[1] is None and shape[2] is None else f"{sizes[1]}x{sizes[2]}"
        return f"{sizes[0]} maps of {size}"
    return "x".join(sizes)
