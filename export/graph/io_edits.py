"""Changes the input and the output of a graph in place, around nodes that stay as they are.

The names of the input and the output stay. Each function adds nodes before the first or after the last node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BATCH: Final = "batch"

# Axes of a tensor; None for a dynamic one.
Axes = Sequence[int | None]
_Nodes = Sequence[onnx.NodeProto]
_Value = onnx.ValueInfoProto

# From this opset on, the operators used here have their current inputs and attributes.
MIN_OPSET: Final = 13


def cast_input(model: onnx.ModelProto, elem_type: int) -> None:
    """Let the input have another type, which is cast to the type that it had."""
    value = model.graph.input[0]
    original = value.type.tensor_type.elem_type
    _add_before(
        model,
        lambda outer, inner: [helper.make_node("Cast", [outer], [inner], to=original)],
    )
    value.type.tensor_type.elem_type = elem_type


def cast_output(model: onnx.ModelProto, elem_type: int) -> None:
    """Cast the output."""
    add_after_output(model, lambda inner, outer: [helper.make_node("Cast", [inner], [outer], to=elem_type)])
    model.graph.output[0].type.tensor_type.elem_type = elem_type


def reshape_input(model: onnx.ModelProto, axes: Axes) -> None:
    """Let the input have other axes after the batch, in the same order of values."""
    value = model.graph.input[0]
    shape = [0, *(axis.dim_value for axis in value.type.tensor_type.shape.dim[1:])]
    target = new_constant(model, "shape", np.array(shape, np.int64))
    _add_before(model, lambda outer, inner: [helper.make_node("Reshape", [outer, target], [inner])])
    batch = batch_size(value)
    _set_axes(value, [batch, *axes])


def reverse_channels(model: onnx.ModelProto, axis: int) -> None:
    """Reverse the three channels of the input, which are on this axis."""
    order = new_constant(model, "order", np.array([2, 1, 0], np.int64))
    _add_before(model, lambda outer, inner: [helper.make_node("Gather", [outer, order], [inner], axis=axis)])


def flatten_output(model: onnx.ModelProto, classes: int) -> None:
    """Reshape the output to [batch, classes]."""
    shape = new_constant(model, "shape", np.array([-1, classes], np.int64))
    add_after_output(model, lambda inner, outer: [helper.make_node("Reshape", [inner, shape], [outer])])
    output = model.graph.output[0]
    _set_axes(output, [batch_size(output), classes])


def apply_sigmoid(model: onnx.ModelProto) -> None:
    """Apply a sigmoid to the output."""
    add_after_output(model, lambda inner, outer: [helper.make_node("Sigmoid", [inner], [outer])])


def add_complement(model: onnx.ModelProto) -> None:
    """Turn the output p, [batch, 1], into [1 - p, p]."""
    one = new_constant(model, "one", np.array([[1]], np.float32))
    other = _new_name(model, "complement")
    add_after_output(
        model,
        lambda inner, outer: [
            helper.make_node("Sub", [one, inner], [other]),
            helper.make_node("Concat", [other, inner], [outer], axis=1),
        ],
    )
    output = model.graph.output[0]
    _set_axes(output, [batch_size(output), 2])


def free_batch(model: onnx.ModelProto) -> None:
    """Declare the batch axis dynamic; whether the nodes accept that must be tried."""
    _set_axes(model.graph.input[0], [None, *axes_of(model.graph.input[0])[1:]])
    output = model.graph.output[0]
    if output.type.tensor_type.HasField("shape"):
        _set_axes(output, [None, *axes_of(output)[1:]])
    del model.graph.value_info[:]


def pad_batch(model: onnx.ModelProto, axes: Sequence[int]) -> None:
    """Accept up to as many images as the fixed batch: pad them with zeros, and cut the output.

    Args:
        model: its input has a fixed batch.
        axes: the axes of the input after the batch.
    """
    value, output = model.graph.input[0], model.graph.output[0]
    size = batch_size(value)
    assert size is not None
    full = new_constant(model, "full", np.array([size], np.int64))
    first, second = (
        new_constant(model, name, np.array([at], np.int64)) for name, at in (("at", 0), ("to", 1))
    )
    row = new_constant(model, "row", np.array(axes, np.int64))
    shape, count, missing, padding, zeros = (
        _new_name(model, name) for name in ("sizes", "count", "missing", "padding", "zeros")
    )
    zero = helper.make_tensor("zero", value.type.tensor_type.elem_type, [1], [0])
    _add_before(
        model,
        lambda outer, inner: [
            helper.make_node("Shape", [outer], [shape]),
            helper.make_node("Slice", [shape, first, second], [count]),
            helper.make_node("Sub", [full, count], [missing]),
            helper.make_node("Concat", [missing, row], [padding], axis=0),
            helper.make_node("ConstantOfShape", [padding], [zeros], value=zero),
            helper.make_node("Concat", [outer, zeros], [inner], axis=0),
        ],
    )
    add_after_output(
        model,
        lambda inner, outer: [helper.make_node("Slice", [inner, first, count, first], [outer])],
    )
    _set_axes(value, [None, *axes])
    if output.type.tensor_type.HasField("shape"):
        _set_axes(output, [None, *axes_of(output)[1:]])
    del model.graph.value_info[:]


def axes_of(value: _Value) -> tuple[int | None, ...]:
    """Return the axes of an input or output."""
    return tuple(axis.dim_value or None for axis in value.type.tensor_type.shape.dim)


def batch_size(value: _Value) -> int | None:
    """Return the size of the batch axis; None if it is dynamic."""
    return next(iter(axes_of(value)), None)


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove the nodes and constants that the output does not need."""
    graph = model.graph
    needed = {value.name for value in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(_uses(node))
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(reversed(nodes))
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in needed:
            del graph.initializer[index]
    for index in reversed(range(len(graph.sparse_initializer))):
        values = graph.sparse_initializer[index].values
        if values.name not in needed:
            del graph.sparse_initializer[index]


def _uses(node: onnx.NodeProto) -> set[str]:
    """Return the names of the values that a node uses, also in the bodies of `If`, `Loop` and `Scan`."""
    names = set(node.input)
    for body in _bodies(node):
        names.update(value.name for value in body.output)
        for inner in body.node:
            names |= _uses(inner)
    return names


def _bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    bodies = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return bodies + [body for attribute in node.attribute for body in attribute.graphs]


def _add_before(model: onnx.ModelProto, nodes: Callable[[str, str], _Nodes]) -> None:
    """Insert nodes between the input and its consumers; `nodes` gets the names before and after them."""
    graph = model.graph
    outer = graph.input[0].name
    inner = _rename_everywhere(model, outer)
    new = list(nodes(outer, inner))
    for node in reversed(new):
        graph.node.insert(0, node)
    del graph.value_info[:]


def _rename_everywhere(model: onnx.ModelProto, name: str) -> str:
    """Give a value another name in all nodes; returns that name."""
    new = _new_name(model, name)
    for node in model.graph.node:
        _rename(node, name, new)
    return new


def add_after_output(model: onnx.ModelProto, nodes: Callable[[str, str], _Nodes]) -> None:
    """Append nodes between the value of the output and the output; `nodes` gets both names."""
    graph = model.graph
    outer = graph.output[0].name
    inner = _rename_everywhere(model, outer)
    graph.node.extend(nodes(inner, outer))
    del graph.value_info[:]


def _rename(node: onnx.NodeProto, old: str, new: str) -> None:
    """Rename a value in a node and in the bodies of `If`, `Loop` and `Scan`."""
    for names in (node.input, node.output):
        names[:] = [new if name == old else name for name in names]
    for body in _bodies(node):
        for value in body.output:
            if value.name == old:
                value.name = new
        for inner in body.node:
            _rename(inner, old, new)


def new_constant(
    model: onnx.ModelProto, stem: str, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
) -> str:
    """Add a constant to the graph and return its name."""
    name = _new_name(model, stem)
    model.graph.initializer.append(numpy_helper.from_array(array, name))
    return name


def _new_name(model: onnx.ModelProto, stem: str) -> str:
    graph = model.graph
    taken = {value.name for value in (*graph.input, *graph.output)}
    taken.update(tensor.name for tensor in graph.initializer)
    taken.update(name for node in graph.node for name in (*node.output, *_uses(node)))
    number = 1
    while f"{stem}/import.{number}" in taken:
        number += 1
    return f"{stem}/import.{number}"


def _set_axes(value: _Value, axes: Axes) -> None:
    names = [BATCH if index == 0 else f"axis_{index}" for index in range(len(axes))]
    elem_type = value.type.tensor_type.elem_type
    shape = [name if axis is None else axis for name, axis in zip(names, axes, strict=True)]
    value.CopyFrom(helper.make_tensor_value_info(value.name, elem_type, shape))


def make_output(name: str, elem_type: int = TensorProto.FLOAT) -> _Value:
    """Return an output whose shape is not known."""
    return helper.make_tensor_value_info(name, elem_type, None)
