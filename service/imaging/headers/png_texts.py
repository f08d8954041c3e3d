"""Finds the texts and profiles of a PNG, which Pillow unpacks as it opens the file."""

from __future__ import annotations

import struct

from ...errors import InvalidImage

MAX_PACKED_TEXTS = 32
MAX_CHUNKS = 50_000
MAX_TEXT_BYTES = 4 << 20
# A packed text may be a megabyte; a thousand bytes of its chunk unpack to that.
PACKED_TEXT_BYTES = 1 << 20
# Copies of a text: the chunk, its bytes, and two of its characters, which may take four bytes each.
TEXT_COPIES = 12
CHUNK_COPIES = 3
PACKED = frozenset({b"iCCP", b"zTXt", b"iTXt"})
TEXTS = PACKED | {b"tEXt"}
# A file of this size has no large texts, and is searched faster than its chunks are read.
SEARCHED_BYTES = 4096

_CHUNK = struct.Struct(">L4s")


def read_texts(data: bytes) -> tuple[int, int]:
    """The number of packed texts and profiles, and the bytes of memory that all texts need at most.

    Raises:
        InvalidImage: there are too many of them, or too many chunks.
    """
    if len(data) <= SEARCHED_BYTES and not (b"iCCP" in data or b"zTXt" in data or b"iTXt" in data):
        return 0, 0
    packed = texts = others = 0
    position, end = 8, len(data) - _CHUNK.size
    for _ in range(MAX_CHUNKS):
        if position > end:
            break
        length, kind = _CHUNK.unpack_from(data, position)
        if kind == b"IEND":
            break
        if kind in TEXTS:
            packed += kind in PACKED
            texts += length
        elif kind != b"IDAT":
            others += length
        position += length + 12
    else:
        raise InvalidImage("the PNG is truncated or corrupt: it is made of too many small parts")
    if packed > MAX_PACKED_TEXTS:
        raise InvalidImage(
            f"the PNG has {packed:,} packed texts and profiles; at most {MAX_PACKED_TEXTS} are read"
        )
    if texts > MAX_TEXT_BYTES:
        raise InvalidImage(f"the PNG has {texts:,} bytes of texts; at most {MAX_TEXT_BYTES:,} are read")
    return packed, (packed * PACKED_TEXT_BYTES + texts) * TEXT_COPIES + min(others, len(data)) * CHUNK_COPIES
