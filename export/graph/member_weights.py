"""Reads the weights of each ensemble member back from a graph, in the order and the axes of Keras."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ..errors import ConversionError
from .graph_cleanup import infer_shapes
from .io_edits import drop_unused
from .structure import GraphStructure, Layer

Weights = Sequence[NDArray[np.float32]]


def member_weights(graph: bytes) -> Sequence[Weights]:
    """Return the kernels and biases of each member, as `get_weights` of its Keras network does.

    The scaling of pixels that a rewrite folded into the first convolution is still in it.

    Raises:
        ConversionError: the bytes are not an ONNX file, or a layer has no equivalent in Keras.
    """
    structure = GraphStructure(graph)
    return [
        [array for layer in structure.layers(output) for array in _of_layer(structure, layer)]
        for output in structure.members()
    ]


def member_graph(graph: bytes, member: int) -> bytes:
    """Return the graph of one member, which returns its probabilities.

    Raises:
        ConversionError: the bytes are not an ONNX file.
    """
    output = GraphStructure(graph).members()[member]
    model = onnx.load_from_string(graph)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    drop_unused(model)
    infer_shapes(model)
    return bytes(model.SerializeToString(deterministic=True))


def _of_layer(structure: GraphStructure, layer: Layer) -> Weights:
    if layer.kernel is None:
        if layer.parameters:
            raise ConversionError(f"the weights of {layer.node.op_type} cannot be read back from the graph")
        return []
    if layer.node.op_type == "Conv" and layer.kernel.ndim == 4:
        kernel = layer.kernel.transpose(2, 3, 1, 0)
    elif layer.node.op_type == "MatMul" and layer.kernel.ndim == 2:
        kernel = _channels_last(layer.kernel, structure.flattened_channels_first(layer.node.input[0]))
    else:
        raise ConversionError(f"the weights of {layer.node.op_type} cannot be read back from the graph")
    return [np.ascontiguousarray(each) for each in (kernel, layer.bias) if each is not None]


def _channels_last(matrix: NDArray[np.float32], shape: Sequence[int] | None) -> NDArray[np.float32]:
    """Order the rows of a matrix as if the flattened maps, [channels, height, width], had channels last."""
    if shape is None:
        return matrix
    rows = matrix.reshape(*shape, matrix.shape[1])
    return rows.transpose(1, 2, 0, 3).reshape(matrix.shape)
