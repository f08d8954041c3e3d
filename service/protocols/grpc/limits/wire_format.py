"""The elements of protobuf's [encoding](https://protobuf.dev/programming-guides/encoding/)."""

from __future__ import annotations

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10


def read_varint(message: bytes, at: int) -> tuple[int, int]:
    """The number at a position, and the position after it.

    Raises:
        IndexError: it ends outside.
        ValueError: it is longer than any number.
    """
    number = shift = 0
    for position in range(at, at + MAX_VARINT_BYTES):
        byte = message[position]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position + 1
        shift += 7
    raise ValueError("a number has more than 64 bits")


def field_head(number: int, size: int) -> bytes:
    """The bytes before a field's `size` bytes; the number is at most 15."""
    head = bytearray([number << 3 | LENGTH])
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head)
