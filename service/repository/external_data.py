"""Finds the files from which an ONNX graph takes weights, without an ONNX library.

ONNX Runtime reads such files when it opens the graph, and the digest of the graph does not cover them. They
can be named wherever a tensor can be: in initializers, attributes of nodes, bodies of `If`, `Loop` and
`Scan`, and functions. The walk follows the messages of onnx.proto down to the tensors and skips everything
else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

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
_KEY, _VALUE = 1, 2  # of StringStringEntryProto
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

# Graphs of ten thousand nodes have a tenth of it. To read so many takes seconds.
MAX_FIELDS = 2_000_000
# As in protobuf's own parsers.
MAX_DEPTH = 100


def external_files(graph: memoryview) -> frozenset[str]:
    """The names of all files that a serialized ModelProto refers to; empty if it contains its weights.

    Raises:
        ValueError: it is not a serialized message, or has more fields or levels than any real graph.
    """
    message = _Message(graph)
    names: set[str] = set()
    # The open messages, outermost first, each with the fields that are left.
    stack = [("ModelProto", message.fields(0, len(graph)))]
    while stack:
        kind, left = stack[-1]
        inner = MESSAGES[kind]
        for number, wire_type, begin, end in left:
            if wire_type != _LENGTH or number not in inner:
                continue
            if inner[number] == "StringStringEntryProto":
                names.update(message.location(begin, end))
                continue
            stack.append((inner[number], message.fields(begin, end)))
            break
        else:
            stack.pop()
        if len(stack) > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    return frozenset(names)


class _Message:
    """A serialized message, of which at most MAX_FIELDS fields are read."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._fields_read = 0

    def fields(self, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Number, wire type, start and end of the value of each field of the message at this place."""
        data = self._data
        while position < end:
            self._fields_read += 1
            if self._fields_read > MAX_FIELDS:
                raise ValueError(f"it has more than {MAX_FIELDS:,} fields")
            tag, position = _varint(data, position, end)
            number, wire_type = tag >> 3, tag & 7
            if wire_type == _LENGTH:
                length, position = _varint(data, position, end)
                stop = position + length
            elif wire_type == _VARINT:
                stop = _varint(data, position, end)[1]
            elif wire_type in (_FIXED64, _FIXED32):
                stop = position + (8 if wire_type == _FIXED64 else 4)
            else:  # groups, which ONNX does not use
                raise ValueError(f"it has a field of the wire type {wire_type}")
            if stop > end or not 0 < number < 1 << 29:
                raise ValueError("it is cut off or damaged")
            yield number, wire_type, position, stop
            position = stop

    def location(self, begin: int, end: int) -> Iterator[str]:
        """The file that an entry of TensorProto.external_data names; nothing if it says something else."""
        texts = {
            number: bytes(self._data[start:stop])
            for number, wire_type, start, stop in self.fields(begin, end)
            if wire_type == _LENGTH and number in (_KEY, _VALUE)
        }
        if texts.get(_KEY) == b"location":
            yield texts.get(_VALUE, b"").decode(errors="replace")


def _varint(data: memoryview, position: int, end: int) -> tuple[int, int]:
    """A variable-length integer and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("it is cut off or damaged")
