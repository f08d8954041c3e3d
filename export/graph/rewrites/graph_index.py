"""An ONNX graph as one who rewrites it sees it: who makes a value, who uses it, what is constant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


class View:
    """An index over `model.graph`, good until the graph is changed by other means than these methods."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self._makers: dict[str, onnx.NodeProto] = {}
        self._users: dict[str, list[onnx.NodeProto]] = {}
        self._outputs = {value.name for value in model.graph.output}
        self._fresh = 0
        for node in model.graph.node:
            self._makers.update(dict.fromkeys(node.output, node))
            for value in node.input:
                self._users.setdefault(value, []).append(node)

    @property
    def nodes(self) -> Sequence[onnx.NodeProto]:
        return list(self._model.graph.node)

    def maker(self, value: str, kind: str) -> onnx.NodeProto | None:
        """The node of this kind that makes a value; None if it is made otherwise."""
        node = self._makers.get(value)
        return node if node is not None and node.op_type == kind else None

    def sole_maker(self, value: str, kind: str) -> onnx.NodeProto | None:
        """The same, if nobody else uses the value, so that the node may go when its user does."""
        return self.maker(value, kind) if self._is_private(value) else None

    def users(self, value: str) -> Sequence[onnx.NodeProto]:
        return self._users.get(value, [])

    def _is_private(self, value: str) -> bool:
        return value not in self._outputs and len(self._users.get(value, [])) == 1

    def constant(self, value: str) -> NDArray[Any] | None:
        tensor = self._tensors.get(value)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def axes(self, value: str) -> list[int] | None:
        """The sizes of a value's axes as far as the graph tells them, 0 for those that are free."""
        for known in (*self._model.graph.value_info, *self._model.graph.input, *self._model.graph.output):
            if known.name == value:
                return [axis.dim_value for axis in known.type.tensor_type.shape.dim]
        return None

    def is_pixels(self, value: str) -> bool:
        """Whether this is an input of the graph, of uint8."""
        return any(
            port.name == value and port.type.tensor_type.elem_type == onnx.TensorProto.UINT8
            for port in self._model.graph.input
        )

    def new_value(self, stem: str) -> str:
        self._fresh += 1
        return f"{stem}/{len(self._model.graph.node)}.{self._fresh}"

    def new_constant(self, stem: str, array: NDArray[Any]) -> str:
        name = self.new_value(stem)
        self._model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def replace(self, old: Sequence[onnx.NodeProto], new: Sequence[onnx.NodeProto]) -> None:
        """Put `new` where the last of `old` stood. What has no user left goes when the graph is tidied."""
        nodes = self.nodes
        gone = {id(node) for node in old}
        last = max(place for place, node in enumerate(nodes) if id(node) in gone)
        kept = [node for node in nodes[: last + 1] if id(node) not in gone]
        del self._model.graph.node[:]
        self._model.graph.node.extend([*kept, *new, *nodes[last + 1 :]])

    def bypass(self, node: onnx.NodeProto, value: str) -> bool:
        """Take a node of one output out, and give its users `value`; False if the graph gives it out."""
        if node.output[0] in self._outputs:
            return False
        for user in self.users(node.output[0]):
            user.input[:] = [value if each == node.output[0] else each for each in user.input]
        self._model.graph.node.remove(node)
        return True


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """The value of a node's attribute; `default` where it is not set."""
    for each in node.attribute:
        if each.name == name:
            return helper.get_attribute_value(each)
    return default


def without_padding(convolution: onnx.NodeProto) -> bool:
    """Whether a Conv sees nothing but its input."""
    automatic = attribute(convolution, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    return automatic and not any(attribute(convolution, "pads", []))
