"""Finds the files from which an ONNX graph takes weights, without an ONNX library.

ONNX Runtime reads such files when it opens the graph, and the digest of the graph does not cover them. They
can be named wherever a tensor can be: in initializers, attributes of nodes, bodies of `If`, `Loop` and
`Scan`, and functions. The walk follows the messages of onnx.proto down to the tensors and skips everything
else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from .protobuf_message import LENGTH, Message

# The fields of each message of onnx.proto that hold a message which can contain a tensor, by number.
MESSAGES: Final[Mapping[str, Mapping[int, str]]] = MappingProxyType(
    {
        "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
        "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
        "NodeProto": {5: "AttributeProto"},
        "AttributeProto": {
            5: "TensorProto",
            6: "GraphProto",
            10: "TensorProto",
            11: "GraphProto",
            22: "SparseTensorProto",
            23: "SparseTensorProto",
        },
        "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
        "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
        "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
        "TensorProto": {13: "StringStringEntryProto"},
    }
)
# As in protobuf's own parsers.
MAX_DEPTH = 100


def external_files(graph: memoryview) -> frozenset[str]:
    """The names of all files that a serialized ModelProto refers to; empty if it contains its weights.

    Raises:
        ValueError: it is not a serialized message, or has more fields or levels than any real graph.
    """
    message = Message(graph)
    names: set[str] = set()
    # The open messages, outermost first, each with the fields that are left.
    stack = [("ModelProto", message.fields(0, len(graph)))]
    while stack:
        kind, left = stack[-1]
        inner = MESSAGES[kind]
        for number, wire_type, begin, end in left:
            if wire_type != LENGTH or number not in inner:
                continue
            if inner[number] == "StringStringEntryProto":
                key, value = message.entry(begin, end)
                if key == "location":
                    names.add(value)
                continue
            stack.append((inner[number], message.fields(begin, end)))
            break
        else:
            stack.pop()
        if len(stack) > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    return frozenset(names)
