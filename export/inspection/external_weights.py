"""Lets a graph take its weights from another graph's file, as external data of ONNX."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import onnx

from ..errors import ConversionError

# In bytes. Single numbers stay in the graph, as do shapes and axes: it cannot be read without them.
_MAX_OWN_BYTES: Final = 4

_TYPES: Final = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_GRAPH, _INITIALIZER, _NAME, _RAW_DATA = 7, 5, 8, 9


def refer_to_weights(model: onnx.ModelProto, graph: bytes, file: str) -> None:
    """Replace the weights of a model by references to the same weights in a graph's file.

    Args:
        model: the model; constants that the graph does not have stay in it.
        graph: the content of the file.
        file: its name.

    Raises:
        ConversionError: the graph is not an ONNX file.
    """
    places = dict(_raw_data(graph))
    for tensor in model.graph.initializer:
        place = places.get(tensor.name)
        if place is None or tensor.data_type not in _TYPES or len(tensor.raw_data) <= _MAX_OWN_BYTES:
            continue
        start, stop = place
        if graph[start:stop] != tensor.raw_data:
            continue
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", file), ("offset", str(start)), ("length", str(stop - start))):
            tensor.external_data.add(key=key, value=value)


def _raw_data(graph: bytes) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the name of each initializer with raw data, and where in the file its data are."""
    view = memoryview(graph)
    for number, start, stop in _fields(view, 0, len(graph)):
        if number != _GRAPH:
            continue
        for inner, begin, end in _fields(view, start, stop):
            if inner != _INITIALIZER:
                continue
            fields = {each: (first, last) for each, first, last in _fields(view, begin, end)}
            if _NAME in fields and _RAW_DATA in fields:
                yield bytes(view[slice(*fields[_NAME])]).decode(), fields[_RAW_DATA]


def _fields(view: memoryview, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each field of a message of protobuf."""
    while position < end:
        tag, position = _varint(view, position, end)
        wire_type = tag & 7
        if wire_type == _LENGTH:
            length, position = _varint(view, position, end)
            stop = position + length
        elif wire_type == _VARINT:
            stop = _varint(view, position, end)[1]
        elif wire_type in (_FIXED64, _FIXED32):
            stop = position + (8 if wire_type == _FIXED64 else 4)
        else:
            raise ConversionError("the graph is not an ONNX file")
        if stop > end:
            raise ConversionError("the graph is not an ONNX file")
        yield tag >> 3, position, stop
        position = stop


def _varint(view: memoryview, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end:
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ConversionError("the graph is not an ONNX file")
