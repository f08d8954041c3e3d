"""Reads serialized messages of protobuf without their schema."""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

# Graphs of ten thousand nodes have a tenth of it. To read so many takes seconds.
MAX_FIELDS = 2_000_000


class Message:
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
            if wire_type == LENGTH:
                length, position = _varint(data, position, end)
                stop = position + length
            elif wire_type == VARINT:
                stop = _varint(data, position, end)[1]
            elif wire_type in (FIXED64, FIXED32):
                stop = position + (8 if wire_type == FIXED64 else 4)
            else:  # groups, which ONNX does not use
                raise ValueError(f"it has a field of the wire type {wire_type}")
            if stop > end or not 0 < number < 1 << 29:
                raise ValueError("it is cut off or damaged")
            yield number, wire_type, position, stop
            position = stop

    def text(self, begin: int, end: int) -> str:
        """A string of the message."""
        return bytes(self._data[begin:end]).decode(errors="replace")

    def integer(self, begin: int, end: int) -> int:
        """An integer of the message."""
        return _varint(self._data, begin, end)[0]

    def next_integer(self, begin: int, end: int) -> tuple[int, int]:
        """The integer at this place in a packed list, and the place after it."""
        return _varint(self._data, begin, end)

    def entry(self, begin: int, end: int) -> tuple[str, str]:
        """Key and value of a StringStringEntryProto."""
        texts = {
            number: self.text(start, stop)
            for number, wire_type, start, stop in self.fields(begin, end)
            if wire_type == LENGTH
        }
        return texts.get(1, ""), texts.get(2, "")


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
