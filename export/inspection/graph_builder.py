"""Appends operators to an ONNX graph whose values have known shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..errors import ConversionError
from ..graph.graph_cleanup import infer_shapes


class GraphBuilder:
    """A model to which nodes are appended.

    Attributes:
        model: the model; its nodes are in topological order.
        nodes: the nodes of the model before anything was appended.
        producers: the node that computes a value, for each of these nodes.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        infer_shapes(model)
        self.model = model
        self.nodes: Sequence[onnx.NodeProto] = list(model.graph.node)
        self.producers: Mapping[str, onnx.NodeProto] = {
            name: node for node in self.nodes for name in node.output if name
        }
        infos = (*model.graph.value_info, *model.graph.input, *model.graph.output)
        self._types = {info.name: info.type.tensor_type for info in infos}
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._varying = {value.name for value in model.graph.input} - self._constants.keys()
        for node in self.nodes:
            if self._varying.intersection(node.input):
                self._varying.update(node.output)
        self._new = 0

    def varies(self, value: str) -> bool:
        """Return True if a value depends on the input of the graph."""
        return value in self._varying

    def shape(self, value: str) -> tuple[int | None, ...]:
        """Return the shape of a value, with None for the batch and for unknown axes.

        Raises:
            ConversionError: even the number of axes is unknown.
        """
        if value in self._constants:
            return tuple(self._constants[value].dims)
        tensor = self._types.get(value)
        if tensor is None or not tensor.HasField("shape"):
            raise ConversionError(f"the shape of {value!r} is unknown")
        return tuple(axis.dim_value or None for axis in tensor.shape.dim)

    def maps_shape(self, value: str) -> tuple[int, int, int] | None:
        """Return channels, height and width of feature maps; None for any other value."""
        try:
            shape = self.shape(value)
        except ConversionError:
            return None
        if len(shape) != 4 or None in shape[1:]:
            return None
        _, channels, height, width = shape
        assert channels is not None
        assert height is not None
        assert width is not None
        return channels, height, width

    def sizes(self, value: str) -> tuple[int, int]:
        """Return height and width of feature maps.

        Raises:
            ConversionError: they are unknown.
        """
        shape = self.maps_shape(value)
        if shape is None:
            raise ConversionError(f"the height and width of {value!r} are unknown")
        return shape[1:]

    def is_float(self, value: str) -> bool:
        """Return True for a float32 value."""
        tensor = self._types.get(value)
        return tensor is not None and tensor.elem_type == onnx.TensorProto.FLOAT

    def constant(self, value: str) -> NDArray[Any] | None:
        """Return a value that does not depend on the input, or None if it does or is computed."""
        if value in self._constants:
            return numpy_helper.to_array(self._constants[value])
        node = self.producers.get(value)
        if node is None:
            return None
        if node.op_type == "Constant":
            tensor = next((each.t for each in node.attribute if each.name == "value"), None)
            return None if tensor is None else numpy_helper.to_array(tensor)
        if node.op_type in ("Cast", "Identity") and node.input[0] in self._constants:
            array = self.constant(node.input[0])
            return array if array is None or array.dtype != np.float16 else array.astype(np.float32)
        return None

    def add(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Append a node and return its output."""
        name = self._name(operator)
        self.model.graph.node.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def add_constant(self, array: NDArray[Any]) -> str:
        """Add a constant and return its name."""
        name = self._name("constant")
        self.model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def number(self, value: float) -> str:
        """Return a float32 constant."""
        return self.add_constant(np.array(value, np.float32))

    def axes(self, *axes: int) -> str:
        """Return an int64 vector."""
        return self.add_constant(np.array(axes, np.int64))

    def _name(self, stem: str) -> str:
        self._new += 1
        return f"inspect/{stem}.{self._new}"
