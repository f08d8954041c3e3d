"""As much of HPACK (RFC 7541) as a caller of gRPC needs, with a dynamic table of no size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

# Appendix A: of the static table only what an answer's trailers may name by number matters here.
STATIC_NAMES = 61
WITHOUT_INDEXING = 0x00
HUFFMAN = 0x80


def encode(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header fields as literals without indexing: the same bytes on every request of a connection."""
    parts = [bytes([WITHOUT_INDEXING]) + _string(name) + _string(value) for name, value in fields]
    return b"".join(parts)


def decode(block: bytes) -> Iterator[tuple[bytes | None, bytes | None]]:
    """The fields of a block; None for what stands in the static table or is Huffman-coded.

    Raises:
        ValueError: it ends in the middle of a field, or leans on a dynamic table.
    """
    try:
        yield from _fields(block)
    except IndexError as error:
        raise ValueError("a header block ends in the middle of a field") from error


def _fields(block: bytes) -> Iterator[tuple[bytes | None, bytes | None]]:
    at = 0
    while at < len(block):
        first = block[at]
        if first & 0x80:  # 6.1: name and value by number
            _, at = _integer(block, at, 7)
            yield None, None
        elif first & 0xE0 == 0x20:  # 6.3: the dynamic table's size
            _, at = _integer(block, at, 5)
        else:  # 6.2: a literal, to be indexed or not
            number, at = _integer(block, at, 6 if first & 0x40 else 4)
            if number > STATIC_NAMES:
                raise ValueError("a header field leans on a dynamic table that was not offered")
            name: bytes | None = None
            if not number:
                name, at = _read(block, at)
            value, at = _read(block, at)
            yield name, value


def _string(text: bytes) -> bytes:
    """5.2, not Huffman-coded."""
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
    """5.1: the number whose first `bits` stand in the byte `at`, and where it ends."""
    most = (1 << bits) - 1
    number = block[at] & most
    at += 1
    if number < most:
        return number, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        number += (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return number, at
