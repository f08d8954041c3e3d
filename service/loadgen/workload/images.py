"""A picture for a model that brings none: drawn, and written as a PNG without a picture library."""

from __future__ import annotations

import math
import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
EIGHT_BITS, GREY = 8, 0


def drawn(side: int) -> bytes:
    """A light disc on black, grey, `side` pixels high and wide; its edge is soft, for many greys."""
    centre, radius = (side - 1) / 2, side * 0.35
    softness = max(side * 0.15, 1.0)

    def pixel(x: int, y: int) -> int:
        distance = math.sqrt((x - centre) ** 2 + (y - centre) ** 2)
        return round(255 * min(max((radius - distance) / softness + 0.5, 0.0), 1.0))

    # Each line begins with its filter: none.
    lines = b"".join(b"\0" + bytes(pixel(x, y) for x in range(side)) for y in range(side))
    header = struct.pack(">IIBBBBB", side, side, EIGHT_BITS, GREY, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
