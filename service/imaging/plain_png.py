"""Unpacks PNGs that need no conversion, without Pillow's reader of files.

Pillow reads a PNG chunk by chunk in Python, which takes ten times as long as unpacking a small one. A PNG of
a known size and mode, made of the fewest chunks, begins with known bytes, and its pixels follow in one chunk.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# The end of the file: an empty chunk.
IEND = b"\0\0\0\0IEND\xae\x42\x60\x82"

_CHUNK = struct.Struct(">L4s")
_AFTER_PIXELS = 4 + len(IEND)  # the checksum of IDAT, which Pillow does not check either, and the end
_COLOURS = {1: 0, 3: 2}  # by the number of channels


class PlainPng:
    """The PNGs of eight bits, one size and one mode that consist of IHDR, one IDAT and IEND.

    Attributes:
        head: the bytes with which each of them begins.
    """

    __slots__ = ("_mode", "_overhead", "_size", "_stride", "head")

    def __init__(self, width: int, height: int, channels: int) -> None:
        """`channels` is 1 for grey, 3 for colour."""
        self._mode = "L" if channels == 1 else "RGB"
        self._size = width, height
        self._stride = width * channels
        fields = struct.pack(">4sLLBBBBB", b"IHDR", width, height, 8, _COLOURS[channels], 0, 0, 0)
        length = struct.pack(">L", len(fields) - 4)
        self.head = SIGNATURE + length + fields + struct.pack(">L", zlib.crc32(fields))
        self._overhead = len(self.head) + _CHUNK.size + _AFTER_PIXELS

    def matches(self, data: bytes) -> bool:
        """True if the chunks are those of a plain PNG; the pixels may still be damaged."""
        if not (data.startswith(self.head) and data.endswith(IEND)) or len(data) < self._overhead:
            return False
        packed: tuple[int, bytes] = _CHUNK.unpack_from(data, len(self.head))
        return packed == (len(data) - self._overhead, b"IDAT")

    def unpack(self, data: bytes) -> bytes | None:
        """The pixels of a file that matches, row by row; None if they are damaged.

        The codec is the one that Pillow's reader calls, so that both return the same pixels.
        """
        packed = data[len(self.head) + _CHUNK.size : -_AFTER_PIXELS]
        box = (0, 0, *self._size)
        try:
            core: Any = Image.core  # type: ignore[attr-defined]
            pixels = core.new(self._mode, self._size)
            decoder = core.zip_decoder(self._mode, self._mode, 0)
            try:
                decoder.setimage(pixels, box)
                # The codec has stopped, without an error, at the end of the pixels.
                complete = decoder.decode(packed) == (-1, 0)
            finally:
                decoder.cleanup()
            return self._rows(core, pixels, box) if complete else None
        except Exception:  # of the codec, or because another version of Pillow lacks these names
            return None

    def _rows(self, core: Any, pixels: Any, box: tuple[int, int, int, int]) -> bytes | None:
        size = self._stride * self._size[1]
        encoder = core.raw_encoder(self._mode, self._mode, self._stride, 1)
        try:
            encoder.setimage(pixels, box)
            written, _, rows = encoder.encode(size)
        finally:
            encoder.cleanup()
        return rows if written == size else None
