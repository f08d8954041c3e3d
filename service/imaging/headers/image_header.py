"""Reads from the header of an image what decoding it costs, before Pillow sees it."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..decompression_guards import PixelLimit, check_runs, check_size
from ..formats import netpbm
from .jpeg_header import read_jpeg
from .png_texts import read_texts
from .tiff_directory import read_tiff

# libwebp keeps two canvases; the codec has one and a plane of alpha, which are freed before the copy is made.
WEBP_CODEC_PIXEL_BYTES = 13
# The decoder of run-length encoded BMPs keeps the pixels, and a copy of them.
RUN_LENGTH_PIXEL_BYTES = 4
# libjpeg works on rows of blocks, and every codec on some rows.
ROWS = 64

# The time of unpacking a text, and of decoding as many run-length encoded pixels, in parts of a TIFF.
TEXT_PARTS = 64
RUN_LENGTH_PIXELS_OF_A_PART = 64
FIELDS_OF_A_PART = 2
PLAIN_BYTES_OF_A_PART = 512
MAX_GIF_BLOCKS = 10_000


class ImageHeader(NamedTuple):
    """The size of an image and the memory that its codec needs.

    Attributes:
        pixel_bytes: bytes of a decoded pixel, at most.
        codec_bytes: what the codec needs besides, at most.
        parts: pieces that Pillow handles one by one in Python, each for about 30 µs.
    """

    format: str
    width: int
    height: int
    pixel_bytes: int
    codec_bytes: int = 0
    parts: int = 1

    @property
    def pixels(self) -> int:
        return self.width * self.height


def read_header(image_format: str, data: bytes, max_pixels: PixelLimit) -> ImageHeader:
    """The header of an image of one of FORMATS; its size is 0x0 if it is not found.

    Raises:
        InvalidImage: the image is a decompression bomb.
        struct.error: a header is truncated.
        ValueError: a header is damaged.
    """
    match image_format:
        case "PNG":
            header = _png(data)
        case "JPEG":
            header = _jpeg(data)
        case "WebP":
            header = _webp(data)
        case "BMP":
            header = _bmp(data)
        case "GIF":
            header = _gif(data)
        case "PNM":
            header = _netpbm(data)
        case _:
            header = _tiff(data, max_pixels)
    check_size(header.width, header.height, max_pixels)
    return header


def _png(data: bytes) -> ImageHeader:
    width, height, depth, colour = struct.unpack_from(">LLBB", data, 16)
    texts, kept = read_texts(data)
    pixel_bytes = 4 if colour not in (0, 3) else 2 if depth == 16 else 1
    return ImageHeader("PNG", width, height, pixel_bytes, width * 8 * 4 + kept, 1 + texts * TEXT_PARTS)


def _jpeg(data: bytes) -> ImageHeader:
    header = read_jpeg(data)
    codec = header.coefficient_bytes + header.width * header.components * ROWS
    codec += len(data) + 2 * header.length  # Pillow copies the file, and keeps its segments
    return ImageHeader("JPEG", header.width, header.height, 1 if header.components == 1 else 4, codec)


def _webp(data: bytes) -> ImageHeader:
    width = height = 0
    match data[12:16]:
        case b"VP8 ":
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
        case b"VP8L":
            (bits,) = struct.unpack_from("<L", data, 21)
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X" if len(data) >= 30:
            width, height = (int.from_bytes(data[start : start + 3], "little") + 1 for start in (24, 27))
    # Pillow and libwebp each copy the file, and Pillow its metadata.
    codec = width * height * WEBP_CODEC_PIXEL_BYTES + 3 * len(data)
    return ImageHeader("WebP", width, height, 0, codec)


def _bmp(data: bytes) -> ImageHeader:
    (header_size,) = struct.unpack_from("<L", data, 14)
    if header_size == 12:
        width, height, bits = struct.unpack_from("<HH2xH", data, 18)
        return ImageHeader("BMP", width, height, 1 if bits <= 8 else 4)
    if header_size < 40:
        return ImageHeader("BMP", 0, 0, 4)
    width, height, bits, compression = struct.unpack_from("<Li2xHL", data, 18)
    height = height + 2**32 if height < -(2**24) else abs(height)
    runs = check_runs(width, height, compression)
    codec = width * height * RUN_LENGTH_PIXEL_BYTES if runs else 0
    parts = 1 + (width * height // RUN_LENGTH_PIXELS_OF_A_PART if runs else 0)
    return ImageHeader("BMP", width, height, 1 if bits <= 8 else 4, codec, parts)


def _gif(data: bytes) -> ImageHeader:
    # The first frame may be larger than the screen.
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + (3 << (flags & 7) + 1 if flags & 128 else 0)
    for _ in range(MAX_GIF_BLOCKS):
        kind = data[position : position + 1]
        if kind == b",":
            left, top, across, down = struct.unpack_from("<HHHH", data, position + 1)
            return ImageHeader("GIF", max(width, left + across), max(height, top + down), 1, len(data))
        if kind in (b"", b";"):
            break
        position += 1
        if kind == b"!":
            position = _after_blocks(data, position + 1)
    return ImageHeader("GIF", width, height, 1, len(data))


def _after_blocks(data: bytes, position: int) -> int:
    for _ in range(MAX_GIF_BLOCKS):
        if position >= len(data) or not data[position]:
            break
        position += 1 + data[position]
    return position + 1


def _netpbm(data: bytes) -> ImageHeader:
    header = netpbm.read_header(data)
    # Before Pillow's image there is an array of the samples, and a text may be copied without its comments.
    codec = header.samples + (len(data) + 16 * netpbm.BLOCK if header.plain else 4 * netpbm.BLOCK)
    parts = 1 + (len(data) // PLAIN_BYTES_OF_A_PART if header.plain else 0)
    pixel_bytes = 1 if header.channels == 1 else 4
    return ImageHeader("PNM", header.width, header.height, pixel_bytes, codec, parts)


def _tiff(data: bytes, max_pixels: PixelLimit) -> ImageHeader:
    directory = read_tiff(data)
    # A tile is unpacked whole, even if the image shows little of it.
    check_size(directory.part_width, directory.part_height, max_pixels)
    codec, parts = directory.codec_bytes, directory.parts + directory.fields // FIELDS_OF_A_PART
    return ImageHeader("TIFF", directory.width, directory.height, directory.pixel_bytes, codec, parts)
