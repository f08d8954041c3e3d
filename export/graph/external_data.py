"""Finds tensors whose values are in other files than the graph.

ONNX Runtime looks for such a file in the current folder if it gets a graph as bytes. Its content would become
part of the outputs, although nobody chose it and no digest covers it.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ..errors import ConversionError


def external_tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """Yield the tensors of a message that refer to a file, at any depth.

    They can be initializers, dense or sparse, attributes of nodes, and in the bodies of `If`, `Loop` and
    `Scan`, in functions and in training information.
    """
    if isinstance(message, onnx.TensorProto) and (
        message.external_data or message.data_location == onnx.TensorProto.EXTERNAL
    ):
        yield message
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in (value,) if isinstance(value, Message) else value:
                yield from external_tensors(inner)


def check_self_contained(model: onnx.ModelProto) -> None:
    """Check that a graph contains all its values.

    Raises:
        ConversionError: a tensor refers to a file.
    """
    for tensor in external_tensors(model):
        raise ConversionError(f"the graph stores its tensor {tensor.name[:100]!r} in an external file")
