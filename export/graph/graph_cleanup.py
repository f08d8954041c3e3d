"""Puts an ONNX graph in order after conversion: the same numbers, nothing left over, names one can read.

tf2onnx computes the shape for Flatten at run time (Shape, Gather, Slice, Concat), since it does not know the
batch; all axes but the batch are known, so the shape is a constant with -1 in it. Its names carry traces of
TensorFlow that change from one process to the next; here they follow from the graph alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

# Bytes of weights that shape inference need not see.
_LARGE: Final = 1 << 20


def tidy(model: onnx.ModelProto, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Give it constant shapes, only the nodes and weights the outputs need, and new names throughout."""
    tell_shapes(model)
    graph = model.graph
    _fix_reshapes(graph)
    _drop_unused(graph)
    _rename(model, inputs, outputs)
    graph.name, graph.doc_string = name, ""
    del graph.value_info[:]
    del model.metadata_props[:]
    used = {node.domain for node in graph.node}
    for opset in [opset for opset in model.opset_import if opset.domain not in used]:
        model.opset_import.remove(opset)


def tell_shapes(model: onnx.ModelProto) -> None:
    """Note the shapes of all values, as far as they can be inferred.

    Large weights are left out meanwhile: only their shapes matter, and the inference copies what it is given.
    """
    held = {
        tensor.name: tensor.raw_data for tensor in model.graph.initializer if len(tensor.raw_data) > _LARGE
    }
    for tensor in model.graph.initializer:
        if tensor.name in held:
            tensor.ClearField("raw_data")
    informed = shape_inference.infer_shapes(model, data_prop=True)
    del model.graph.value_info[:]
    model.graph.value_info.extend(informed.graph.value_info)
    for tensor in model.graph.initializer:
        if tensor.name in held:
            tensor.raw_data = held[tensor.name]


def _fix_reshapes(graph: onnx.GraphProto) -> None:
    constants = {tensor.name for tensor in graph.initializer}
    shapes = {value.name: value.type.tensor_type.shape.dim for value in [*graph.value_info, *graph.output]}
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] in constants:
            continue
        sizes = [axis.dim_value or -1 for axis in shapes.get(node.output[0], ())]
        if not sizes or sizes.count(-1) > 1:
            raise ValueError(f"more than the batch is unknown in the shape of {node.output[0]}")
        shape = numpy_helper.from_array(np.array(sizes, dtype=np.int64), name=f"{node.name}/shape")
        graph.initializer.append(shape)
        node.input[1] = shape.name


def _drop_unused(graph: onnx.GraphProto) -> None:
    needed = {value.name for value in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(reversed(nodes))
    for place in reversed(range(len(graph.initializer))):
        if graph.initializer[place].name not in needed:
            del graph.initializer[place]


def _rename(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Nodes by their kind and place, results likewise, weights by the node and the part they play in it."""
    graph = model.graph
    names = {"": ""}  # an optional input that is not given
    for values, given in ((graph.input, inputs), (graph.output, outputs)):
        for value, name in zip(values, given, strict=True):
            names[value.name] = value.name = name
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    versions = {opset.domain: opset.version for opset in model.opset_import}
    for place, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{place}"
        schema = onnx.defs.get_schema(node.op_type, versions[node.domain], node.domain)
        parts = [part.name for part in schema.inputs]
        parts += [f"{parts[-1]}.{position}" for position in range(len(parts), len(node.input))]  # Concat
        for taken, part in zip(node.input, parts, strict=False):
            names.setdefault(taken, f"{node.name}.{part}")
        for position, given in enumerate(node.output):
            names.setdefault(given, f"{node.name}.{position}" if position else node.name)  # Split
        node.input[:] = [names[value] for value in node.input]
        node.output[:] = [names[value] for value in node.output]
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]
    use = {value: place for place, value in enumerate(value for node in graph.node for value in node.input)}
    graph.initializer.sort(key=lambda tensor: use[tensor.name])
