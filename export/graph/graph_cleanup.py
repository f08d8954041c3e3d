"""Simplifies an ONNX graph after conversion and gives it readable, reproducible names.

tf2onnx computes the shape for Flatten at run time (Shape, Gather, Slice, Concat), because it does not know
the batch size. All other axes are known, so the shape is a constant with -1. The names of tf2onnx differ
between processes; the new names depend on the graph alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

from .io_edits import drop_unused

# In bytes; shape inference does not need the values of larger weights.
_MIN_LARGE_WEIGHT: Final = 1 << 20


def clean_up(model: onnx.ModelProto, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Simplify a graph in place: constant shapes, no unused nodes and weights, new names.

    Args:
        model: the model.
        name: the name of the graph.
        inputs: the names of its inputs, in order.
        outputs: the names of its outputs, in order.
    """
    infer_shapes(model)
    graph = model.graph
    _fix_reshapes(graph)
    drop_unused(model)
    _rename(model, inputs, outputs)
    graph.name, graph.doc_string = name, ""
    del graph.value_info[:]
    del model.metadata_props[:]
    used = {node.domain for node in graph.node}
    for opset in [opset for opset in model.opset_import if opset.domain not in used]:
        model.opset_import.remove(opset)


def infer_shapes(model: onnx.ModelProto) -> None:
    """Store the inferred shapes of all values in the model.

    The values of large weights are removed during the inference, which copies the model.
    """
    removed = {
        tensor.name: tensor.raw_data
        for tensor in model.graph.initializer
        if len(tensor.raw_data) > _MIN_LARGE_WEIGHT
    }
    for tensor in model.graph.initializer:
        if tensor.name in removed:
            tensor.ClearField("raw_data")
    inferred = shape_inference.infer_shapes(model, data_prop=True)
    del model.graph.value_info[:]
    model.graph.value_info.extend(inferred.graph.value_info)
    for tensor in model.graph.initializer:
        if tensor.name in removed:
            tensor.raw_data = removed[tensor.name]


def _fix_reshapes(graph: onnx.GraphProto) -> None:
    constants = {tensor.name for tensor in graph.initializer}
    shapes = {value.name: value.type.tensor_type.shape.dim for value in [*graph.value_info, *graph.output]}
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] in constants:
            continue
        sizes = [axis.dim_value or -1 for axis in shapes.get(node.output[0], ())]
        if not sizes or sizes.count(-1) > 1:
            continue  # computed at run time
        shape = numpy_helper.from_array(np.array(sizes, dtype=np.int64), name=f"{node.name}/shape")
        graph.initializer.append(shape)
        node.input[1] = shape.name


def _rename(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Name nodes and their outputs by operator and index, and weights by their node and parameter."""
    graph = model.graph
    names = {"": ""}  # an omitted optional input
    for values, new_names in ((graph.input, inputs), (graph.output, outputs)):
        for value, name in zip(values, new_names, strict=True):
            names[value.name] = value.name = name
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    versions = {opset.domain: opset.version for opset in model.opset_import}
    for index, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{index}"
        schema = onnx.defs.get_schema(node.op_type, versions[node.domain], node.domain)
        parameters = [parameter.name for parameter in schema.inputs]
        parameters += [f"{parameters[-1]}.{i}" for i in range(len(parameters), len(node.input))]  # Concat
        for source, parameter in zip(node.input, parameters, strict=False):
            names.setdefault(source, f"{node.name}.{parameter}")
        for position, result in enumerate(node.output):
            names.setdefault(result, f"{node.name}.{position}" if position else node.name)  # Split
        node.input[:] = [names[value] for value in node.input]
        node.output[:] = [names[value] for value in node.output]
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]
    last_use = {
        value: index for index, value in enumerate(value for node in graph.node for value in node.input)
    }
    graph.initializer.sort(key=lambda tensor: last_use[tensor.name])
