"""Converts graphs that compute in double precision to float32.

ONNX Runtime has no double convolution on the CPU, among others, and the server computes in float32 anyway.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import TensorProto, numpy_helper


def has_doubles(model: onnx.ModelProto) -> bool:
    """Return True if a constant, an input or an output of the graph is a double."""
    graph = model.graph
    values = (*graph.input, *graph.output)
    types = [value.type.tensor_type.elem_type for value in values]
    types += [tensor.data_type for tensor in graph.initializer]
    return TensorProto.DOUBLE in types


def to_float32(model: onnx.ModelProto) -> None:
    """Replace double by float32 in place: in constants, types and casts, at any depth."""
    _convert(model)
    del model.graph.value_info[:]


def _convert(message: Message) -> None:
    if isinstance(message, TensorProto):
        if message.data_type == TensorProto.DOUBLE:
            values = numpy_helper.to_array(message).astype(np.float32)
            message.CopyFrom(numpy_helper.from_array(values, message.name))
        return
    if isinstance(message, onnx.TypeProto.Tensor) and message.elem_type == TensorProto.DOUBLE:
        message.elem_type = TensorProto.FLOAT
    if isinstance(message, onnx.AttributeProto) and message.name in ("to", "dtype"):
        message.i = TensorProto.FLOAT if message.i == TensorProto.DOUBLE else message.i
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in (value,) if isinstance(value, Message) else value:
                _convert(cast(Message, inner))
