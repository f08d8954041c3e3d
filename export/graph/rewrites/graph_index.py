"""Indexes an ONNX graph for rewriting: producers, consumers and constants of values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


class GraphIndex:
    """An index of a model's graph; create a new one after each change to the graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self._producers: dict[str, onnx.NodeProto] = {}
        self._consumers: dict[str, list[onnx.NodeProto]] = {}
        self._outputs = {value.name for value in model.graph.output}
        self._new_values = 0
        for node in model.graph.node:
            self._producers.update(dict.fromkeys(node.output, node))
            for value in node.input:
                self._consumers.setdefault(value, []).append(node)

    @property
    def nodes(self) -> Sequence[onnx.NodeProto]:
        return list(self._model.graph.node)

    def producer(self, value: str, op_type: str) -> onnx.NodeProto | None:
        """Return the node that computes a value, or None if its operator is another one."""
        node = self._producers.get(value)
        return node if node is not None and node.op_type == op_type else None

    def sole_producer(self, value: str, op_type: str) -> onnx.NodeProto | None:
        """Return the producer if the value has one consumer, so that both can be replaced together."""
        return self.producer(value, op_type) if self._has_one_consumer(value) else None

    def consumers(self, value: str) -> Sequence[onnx.NodeProto]:
        return self._consumers.get(value, [])

    def _has_one_consumer(self, value: str) -> bool:
        return value not in self._outputs and len(self._consumers.get(value, [])) == 1

    def constant(self, value: str) -> NDArray[Any] | None:
        tensor = self._tensors.get(value)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def shape(self, value: str) -> list[int] | None:
        """Return the known shape of a value, with 0 for dynamic axes, or None."""
        for info in (*self._model.graph.value_info, *self._model.graph.input, *self._model.graph.output):
            if info.name == value:
                return [axis.dim_value for axis in info.type.tensor_type.shape.dim]
        return None

    def is_uint8_input(self, value: str) -> bool:
        """Return True for a uint8 input of the graph."""
        return any(
            tensor.name == value and tensor.type.tensor_type.elem_type == onnx.TensorProto.UINT8
            for tensor in self._model.graph.input
        )

    def new_value(self, stem: str) -> str:
        self._new_values += 1
        return f"{stem}/{len(self._model.graph.node)}.{self._new_values}"

    def new_constant(self, stem: str, array: NDArray[Any]) -> str:
        name = self.new_value(stem)
        self._model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def replace(self, old: Sequence[onnx.NodeProto], new: Sequence[onnx.NodeProto]) -> None:
        """Remove the `old` nodes and insert the `new` ones at the position of the last of them."""
        nodes = self.nodes
        removed = {id(node) for node in old}
        last = max(position for position, node in enumerate(nodes) if id(node) in removed)
        kept = [node for node in nodes[: last + 1] if id(node) not in removed]
        del self._model.graph.node[:]
        self._model.graph.node.extend([*kept, *new, *nodes[last + 1 :]])

    def bypass(self, node: onnx.NodeProto, value: str) -> bool:
        """Remove a node and give its consumers `value`; return False if it is an output of the graph."""
        if node.output[0] in self._outputs:
            return False
        for consumer in self.consumers(node.output[0]):
            consumer.input[:] = [value if name == node.output[0] else name for name in consumer.input]
        self._model.graph.node.remove(node)
        return True


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return the value of a node's attribute, or `default`."""
    for candidate in node.attribute:
        if candidate.name == name:
            return helper.get_attribute_value(candidate)
    return default


def is_unpadded(convolution: onnx.NodeProto) -> bool:
    """Return True for a Conv without padding."""
    unpadded = attribute(convolution, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    return unpadded and not any(attribute(convolution, "pads", []))
