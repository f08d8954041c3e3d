"""The part of HPACK (RFC 7541) that a gRPC client needs, without a dynamic table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

# Appendix A: the number of entries; their names are not needed to read trailers.
STATIC_NAMES = 61
WITHOUT_INDEXING = 0x00
HUFFMAN = 0x80


def encode(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header fields as literals without indexing: the same bytes on every request of a connection."""
    parts = [bytes([WITHOUT_INDEXING]) + _string(name) + _string(value) for name, value in fields]
    return b"".join(parts)


def decode(block: bytes) -> Iterator[tuple[bytes | None, bytes | None]]:
    """The fields of a block; None for names and values that are in the static table or Huffman-coded.

    Raises:
        ValueError: the block ends within a field, or refers to a dynamic table.
    """
    try:
        yield from _fields(block)
    except IndexError as error:
        raise ValueError("the header block ends within a field") from error


def _fields(block: bytes) -> Iterator[tuple[bytes | None, bytes | None]]:
    at = 0
    while at < len(block):
        first = block[at]
        if first & 0x80:  # 6.1: name and value by index
            _, at = _integer(block, at, 7)
            yield None, None
        elif first & 0xE0 == 0x20:  # 6.3: the dynamic table's size
            _, at = _integer(block, at, 5)
        else:  # 6.2: a literal, with or without indexing
            number, at = _integer(block, at, 6 if first & 0x40 else 4)
            if number > STATIC_NAMES:
                raise ValueError("a header field refers to a dynamic table, which was not offered")
            name: bytes | None = None
            if not number:
                name, at = _read(block, at)
            value, at = _read(block, at)
            yield name, value


def _string(text: bytes) -> bytes:
    """5.2, without Huffman coding."""
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, digits = len(text) - 127, bytearray([127])
    while rest >= 128:
        digits.append(rest % 128 + 128)
        rest //= 128
    return bytes(digits) + bytes([rest]) + text


def _read(block: bytes, at: int) -> tuple[bytes | None, int]:
    coded = block[at] & HUFFMAN
    length, at = _integer(block, at, 7)
    if at + length > len(block):
        raise IndexError
    return None if coded else block[at : at + length], at + length


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """5.1: the number whose first `bits` are in the byte at `at`, and the index after it."""
    limit = (1 << bits) - 1
    number = block[at] & limit
    at += 1
    if number < limit:
        return number, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        number += (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return number, at
