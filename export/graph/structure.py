"""Finds the structure of a classifier in its ONNX graph: ensemble members, layers and their weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ..errors import ConversionError
from .graph_cleanup import infer_shapes
from .rewrites.graph_index import GraphIndex, attribute

# Nodes with weights, and the position of their weights among the inputs.
WEIGHTED: Final = frozenset({"Conv", "MatMul", "Gemm"})

# Operators that only move or convert values.
_MOVING: Final = frozenset(
    {
        "Cast",
        "Reshape",
        "Transpose",
        "Flatten",
        "Identity",
        "Squeeze",
        "Unsqueeze",
        "Shape",
        "Gather",
        "Constant",
    }
    | {"QuantizeLinear", "DequantizeLinear"}
)


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of a graph.

    Attributes:
        node: its node; a bias that is added to the product of a MatMul belongs to the layer.
        kernel: the weights as float32 in the order of the graph; None for a layer without weights.
        bias: the bias, [outputs], or None.
        parameters: the number of its weights.
        shape: the axes of its output after the batch; None for a dynamic axis.
    """

    node: onnx.NodeProto
    kernel: NDArray[np.float32] | None
    bias: NDArray[np.float32] | None
    parameters: int
    shape: tuple[int | None, ...] | None


class GraphStructure:
    """The structure of a graph.

    Raises:
        ConversionError: the bytes are not an ONNX file.
    """

    def __init__(self, graph: bytes) -> None:
        try:
            self._model = onnx.load_from_string(graph)
        except Exception as error:  # protobuf raises several types
            raise ConversionError("the graph is not an ONNX file") from error
        infer_shapes(self._model)
        self._index = GraphIndex(self._model)
        self._producer = {name: node for node in self._model.graph.node for name in node.output}

    def members(self) -> Sequence[str]:
        """Return the outputs of the ensemble members, in order; of a single network, the graph's output."""
        (output,) = (value.name for value in self._model.graph.output[:1])
        summands = list(self._summands(self._before_calibration(output)))
        softmaxes = [name for name in summands if self._index.producer(name, "Softmax")]
        return softmaxes if len(softmaxes) > 1 and len(softmaxes) == len(summands) else [output]

    def layers(self, output: str) -> Sequence[Layer]:
        """Return the layers that an output depends on, in the order of the graph, without preprocessing.

        The first layer is the first one with weights.
        """
        needed = self._ancestors(output)
        nodes = [node for node in self._model.graph.node if id(node) in needed]
        found = [layer for layer in map(self._layer, nodes) if layer is not None]
        first = next((place for place, layer in enumerate(found) if layer.node.op_type in WEIGHTED), 0)
        return found[first:]

    def first_kernels(self) -> Sequence[NDArray[np.float32]]:
        """Return the kernels of the first convolution of each member, [height, width, channels, kernels]."""
        found = []
        for output in self.members():
            kernels = (layer.kernel for layer in self.layers(output) if layer.node.op_type == "Conv")
            first = next((kernel for kernel in kernels if kernel is not None and kernel.ndim == 4), None)
            if first is not None:
                found.append(np.ascontiguousarray(first.transpose(2, 3, 1, 0)))
        return found

    def keeps_channels_last(self, value: str) -> bool:
        """Return True if a flattened value was transposed to channels last before."""
        node = self._producer.get(value)
        while node is not None and node.op_type in ("Reshape", "Flatten", "Identity"):
            node = self._producer.get(node.input[0])
        return node is not None and node.op_type == "Transpose"

    def flattened_channels_first(self, value: str) -> Sequence[int] | None:
        """Return channels, height and width of maps that are flattened in this order to a value, or None."""
        node = self._producer.get(value)
        if node is None or node.op_type not in ("Reshape", "Flatten") or self.keeps_channels_last(value):
            return None
        shape = self._index.shape(node.input[0])
        return shape[1:] if shape is not None and len(shape) == 4 and all(shape[1:]) else None

    def shape(self, value: str) -> Sequence[int] | None:
        """Return the known shape of a value, with 0 for dynamic axes, or None."""
        return self._index.shape(value)

    def constant(self, value: str) -> NDArray[np.float32] | None:
        """Return the value of a constant that may be stored in float16, as float32."""
        values = self._index.constant(value)
        node = self._producer.get(value)
        if values is None and node is not None:
            values = self._computed(node)
        return None if values is None else values.astype(np.float32)

    def _computed(self, node: onnx.NodeProto) -> NDArray[Any] | None:
        if node.op_type == "Cast":
            return self._index.constant(node.input[0])
        if node.op_type == "Constant" and (tensor := attribute(node, "value", None)) is not None:
            return numpy_helper.to_array(tensor)
        if node.op_type != "DequantizeLinear":
            return None
        values, scale, *zero = (self._index.constant(name) for name in node.input)
        if values is None or scale is None:
            return None
        axis = attribute(node, "axis", 1)
        along = [-1 if position == axis % values.ndim else 1 for position in range(values.ndim)]
        offset = zero[0] if zero and zero[0] is not None else np.zeros_like(scale)
        scale, offset = (
            each.astype(np.float32).reshape(along if each.ndim else ()) for each in (scale, offset)
        )
        return np.asarray((values.astype(np.float32) - offset) * scale)

    def _before_calibration(self, output: str) -> str:
        """Return the averaged probabilities if a softmax of their scaled logarithm follows, or `output`."""
        value = output
        for op_type in ("Softmax", "Mul", "Log", "Max"):
            node = self._index.producer(value, op_type)
            if node is None:
                return output
            value = next(name for name in node.input if self._index.constant(name) is None)
        return value

    def _summands(self, value: str) -> Iterator[str]:
        """Yield the values whose mean or sum a value is."""
        node = self._producer.get(value)
        if node is None or node.op_type not in ("Add", "Mul", "Div", "Mean", "Sum"):
            yield value
            return
        for name in node.input:
            if self._index.constant(name) is None:
                yield from self._summands(name)

    def _ancestors(self, output: str) -> set[int]:
        found: set[int] = set()
        waiting = [output]
        while waiting:
            node = self._producer.get(waiting.pop())
            if node is not None and id(node) not in found:
                found.add(id(node))
                waiting.extend(node.input)
        return found

    def _layer(self, node: onnx.NodeProto) -> Layer | None:
        constants = [self.constant(name) for name in node.input[1:]]
        if node.op_type in _MOVING or (node.op_type == "Add" and self._is_bias(node)):
            return None
        if node.op_type not in WEIGHTED:
            sizes = [values.size for values in constants if values is not None and values.size > 1]
            return Layer(node, None, None, sum(sizes) if _has_parameters(node) else 0, self._axes(node))
        if not constants or constants[0] is None:  # a product of two values
            return Layer(node, None, None, 0, self._axes(node))
        kernel, bias = constants[0], constants[1] if len(constants) > 1 else self._added_bias(node)
        parameters = kernel.size + (0 if bias is None else bias.size)
        return Layer(node, kernel, bias, parameters, self._axes(node))

    def _is_bias(self, node: onnx.NodeProto) -> bool:
        return (
            self._index.producer(node.input[0], "MatMul") is not None
            and self.constant(node.input[1]) is not None
        )

    def _added_bias(self, node: onnx.NodeProto) -> NDArray[np.float32] | None:
        consumers = self._index.consumers(node.output[0])
        if len(consumers) == 1 and consumers[0].op_type == "Add":
            return self.constant(consumers[0].input[1])
        return None

    def _axes(self, node: onnx.NodeProto) -> tuple[int | None, ...] | None:
        shape: Sequence[Any] | None = self._index.shape(node.output[0])
        return None if shape is None else tuple(axis or None for axis in shape[1:])


def _has_parameters(node: onnx.NodeProto) -> bool:
    return node.op_type in ("BatchNormalization", "PRelu", "InstanceNormalization", "LayerNormalization")
