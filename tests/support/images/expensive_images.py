"""Small images in large files that are expensive to read: accepted or rejected, they hold up nobody."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from tests.support.images.bombs import jpeg_with, png
from tests.support.images.image_cases import GREY, bmp_of_runs, encode, png_chunk, tiff

SIZE = 30 << 20  # a little less than CONVSERVE_MAX_BODY_BYTES
PIXELS = zlib.compress(b"\0\0")
PARTS = 19_000
RUNS = 1_999_396


def png_of_text(kind: bytes, start: bytes, size: int) -> bytes:
    return png(1, 1, png_chunk(kind, start + b"iTXtzTXtiCCP" * (size // 12)), pixels=PIXELS)


def png_of_packed_texts(count: int) -> bytes:
    text = zlib.compress("😀".encode() + b"a" * 1_048_000)
    chunks = (png_chunk(b"iTXt", b"%d\0\1\0\0\0" % index + text) for index in range(count))
    return png(1, 1, *chunks, pixels=PIXELS)


def png_of_fields(size: int) -> bytes:
    """Return a PNG whose EXIF data has as many fields as there may be."""
    fields = b"".join(struct.pack("<HHLL", tag, 3, 1, 7) for tag in range(65_535))
    exif = b"II*\0\x08\0\0\0\xff\xff" + fields
    return png(1, 1, png_chunk(b"eXIf", exif.ljust(size, b"\0")), pixels=PIXELS)


def jpeg_of_segments(marker: int, content: bytes, count: int) -> bytes:
    segment = bytes((0xFF, marker, 0xFF, 0xFF)) + content[:65_533].ljust(65_533, b"\0")
    return jpeg_with(segment * count)


def jpeg_of_padding(size: int) -> bytes:
    data = encode(GREY, "JPEG")
    return data[:-2] + b"\xff" * size + data[-2:]


def jpeg_of_stuffed_bytes(size: int) -> bytes:
    data = encode(Image.new("L", (64, 64), 128), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * 95 + b"\xff\0" * (size // 2) + b"\xff\xda" * 10 + data[-2:]


def tiff_of_tiles() -> bytes:
    fields = {256: 16 * 100, 257: 16 * (PARTS // 100), 258: 8, 259: 1, 262: 1, 322: 16, 323: 16}
    return tiff(bytes(300), {**fields, 324: (8,) * PARTS, 325: (1,) * PARTS})


def tiff_of_fields() -> bytes:
    usual = {256: 10, 257: 10, 258: 8, 259: 1, 262: 1, 273: 8, 278: 10, 279: 100}
    return tiff(bytes(100), {**usual, **dict.fromkeys(range(1000, 4900), (5,) * 1900)})


def gif_of_clear_codes(size: int) -> bytes:
    block = b"\xff" + b"\x24\x49\x92" * 85
    return b"GIF89a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2" + block * (size // 256) + b"\0;"


def webp_of_metadata(size: int) -> bytes:
    return encode(Image.new("RGB", (9, 9)), "WEBP", exif=b"Exif\0\0II*\0" + bytes(size))


PHOTOSHOP = b"Photoshop 3.0\0" + (b"8BIM" + struct.pack(">HBxL", 0x03EE, 0, 0)) * 5460
TABLE = b"\0" + bytes(range(1, 65))

EXPENSIVE: Mapping[str, Callable[[], bytes]] = {
    "PNG of text": lambda: png_of_text(b"tEXt", b"a\0", SIZE),
    "PNG of the longest text": lambda: png_of_text(b"iTXt", b"a\0\0\0\0\0" + "😀".encode(), 4_000_000),
    "PNG of packed texts": lambda: png_of_packed_texts(16),
    "PNG of EXIF data": lambda: png_of_fields(SIZE),
    "PNG of an unknown chunk": lambda: png_of_text(b"abCd", b"", SIZE),
    "PNG of chunks": lambda: png(1, 1, png_chunk(b"abCd", bytes(600)) * 49_000, pixels=PIXELS),
    "JPEG of padding": lambda: jpeg_of_padding(SIZE),
    "JPEG of stuffed bytes": lambda: jpeg_of_stuffed_bytes(SIZE),
    "JPEG of EXIF data": lambda: jpeg_of_segments(0xE1, b"Exif\0\0", 63),
    "JPEG of XMP": lambda: jpeg_of_segments(0xE1, b"http://ns.adobe.com/xap/1.0/\0", 450),
    "JPEG of Photoshop data": lambda: jpeg_of_segments(0xED, PHOTOSHOP, 63),
    "JPEG of tables": lambda: jpeg_of_segments(0xDB, TABLE * 1008, 63),
    "TIFF of tiles": tiff_of_tiles,
    "TIFF of fields": tiff_of_fields,
    "GIF of clear codes": lambda: gif_of_clear_codes(SIZE),
    "BMP of runs": lambda: bmp_of_runs(1414, 1414, b"\1\1" * RUNS),
    "BMP of runs without pixels": lambda: bmp_of_runs(100, 100, b"\0\2\0\0" * (SIZE // 4)),
    "WebP of metadata": lambda: webp_of_metadata(SIZE),
    "WebP of noise": lambda: encode(
        np.random.default_rng(0).integers(0, 256, (2400, 2400, 3), np.uint8), "WEBP", lossless=True, method=0
    ),
}
