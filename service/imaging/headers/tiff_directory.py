"""Reads the directory of a TIFF, to know its cost before anything is decoded."""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from ...errors import InvalidImage
from ..formats.float_colours import BLOCK_PIXELS
from .jpeg_header import LARGE_PIXELS, MAX_SCANS_OF_LARGE_IMAGES

MAX_FIELDS = 4096
MAX_PARTS = 20_000
MAX_VALUES = 65_536  # of a field that is not text or bytes: each becomes a Python object
MAX_SAMPLES = 6  # of a pixel, in the modes that Pillow reads

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_SIZES = 273, 274, 277, 278, 279
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_SIZES = 322, 323, 324, 325
SAMPLE_FORMAT, XMP = 339, 700
JPEG, OLD_JPEG, WEBP = 7, 6, 50001
NOT_COMPRESSED = 1
IEEE_FLOAT = 3
# The decoded pixels, an array of them, and a copy that is rotated.
FLOAT_COLOURS_PIXEL_BYTES = 4 + 3 + 4
# Copies of a block of four samples of 32 bits.
FLOAT_BLOCK_BYTES = 6 * 16

# Fields of which the first value is needed, with their values if they are missing.
_DEFAULTS = {
    WIDTH: 0,
    HEIGHT: 0,
    BITS: 1,
    COMPRESSION: NOT_COMPRESSED,
    PHOTOMETRIC: 0,
    ORIENTATION: 1,
    SAMPLES: 1,
    ROWS_PER_STRIP: 0,
    TILE_WIDTH: 0,
    TILE_HEIGHT: 0,
    SAMPLE_FORMAT: 1,
}
METADATA_COPIES = 3
_BYTES = frozenset({1, 2, 6, 7})  # BYTE, ASCII, SBYTE, UNDEFINED
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 11: 4, 13: 4}
_TYPES = {1: "B", 3: "H", 4: "L", 16: "Q"}  # BYTE, SHORT, LONG, LONG8


class TiffDirectory(NamedTuple):
    """The first directory of a TIFF.

    Attributes:
        pixel_bytes: bytes of a decoded pixel, at most.
        codec_bytes: bytes of the buffers in which libtiff unpacks a strip or tile.
        parts: the number of strips or tiles.
        fields: the number of fields.
    """

    width: int
    height: int
    pixel_bytes: int
    codec_bytes: int
    parts: int
    part_width: int
    part_height: int
    fields: int


def read_tiff(data: bytes) -> TiffDirectory:
    """
    Raises:
        InvalidImage: the TIFF has too many fields or parts, or its parts overlap.
        struct.error: the header is truncated.
    """
    order = "<" if data.startswith(b"II") else ">"
    big = 43 in data[2:4]
    (start,) = struct.unpack_from(order + "Q", data, 8) if big else struct.unpack_from(order + "L", data, 4)
    (fields,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    if fields > MAX_FIELDS:
        raise InvalidImage(f"the TIFF has {fields:,} fields; at most {MAX_FIELDS:,} are read")
    field = struct.Struct(order + ("HHQ8s" if big else "HHL4s"))
    first = start + (8 if big else 2)
    values, rotated, parts = dict(_DEFAULTS), False, 1
    seen = set()
    metadata = 0
    for tag, kind, count, value in field.iter_unpack(data[first : first + fields * field.size]):
        metadata += count * _SIZES.get(kind, 8)
        if (
            count > MAX_VALUES
            and kind not in _BYTES
            and tag
            not in (
                STRIP_OFFSETS,
                TILE_OFFSETS,
                STRIP_SIZES,
                TILE_SIZES,
            )
        ):
            raise InvalidImage(
                f"the TIFF has {count:,} values in the field {tag}; at most {MAX_VALUES:,} are read"
            )
        if tag in (STRIP_OFFSETS, TILE_OFFSETS, STRIP_SIZES, TILE_SIZES):
            if count > MAX_PARTS:
                raise InvalidImage(f"the TIFF is cut into {count:,} parts; at most {MAX_PARTS:,} are decoded")
            parts = max(parts, count)
            if tag in (STRIP_SIZES, TILE_SIZES):
                _check_overlap(data, order, big, kind, count, value)
        elif tag in values:
            values[tag] = _first_value(data, order, big, tag, kind, count, value)
        elif tag != XMP:
            continue
        if tag in seen:
            raise InvalidImage(f"the TIFF has the field {tag} more than once")
        seen.add(tag)
        rotated = rotated or tag == XMP
    directory = _directory(data, values, parts, rotated=rotated or values[ORIENTATION] != 1)
    # Pillow and libtiff each copy the fields, and Pillow makes objects of the numbers.
    metadata = min(metadata, len(data)) * METADATA_COPIES
    return directory._replace(codec_bytes=directory.codec_bytes + metadata, fields=fields)


def _first_value(data: bytes, order: str, big: bool, tag: int, kind: int, count: int, value: bytes) -> int:
    code = _TYPES.get(kind)
    if code is None or (code == "Q" and not big):
        raise InvalidImage(
            "the TIFF gives the size of its tiles in an unknown way"
            if tag in (TILE_WIDTH, TILE_HEIGHT)
            else f"the TIFF gives the field {tag} in an unknown way"
        )
    if count * struct.calcsize(order + code) > len(value):
        (offset,) = struct.unpack(order + ("Q" if big else "L"), value)
        return int(struct.unpack_from(order + code, data, offset)[0])
    return int(struct.unpack_from(order + code, value)[0])


def _check_overlap(data: bytes, order: str, big: bool, kind: int, count: int, value: bytes) -> None:
    # Bytes that unpack to nothing cost time too, and each part may refer to all bytes of the file.
    code = _TYPES.get(kind)
    if code is None:
        raise InvalidImage("the TIFF gives the sizes of its parts in an unknown way")
    stored = np.dtype(order + code.replace("L", "I"))
    offset = 0
    if count * stored.itemsize > len(value):
        (offset,) = struct.unpack(order + ("Q" if big else "L"), value)
        value = data
    if offset + count * stored.itemsize > len(value):
        raise struct.error("the sizes of the parts are missing")
    sizes = np.frombuffer(value, stored, count, offset)
    if float(sizes.sum(dtype=np.float64)) > 2 * len(data) + 65_536:
        raise InvalidImage("the parts of the TIFF overlap")


def _directory(data: bytes, values: dict[int, int], parts: int, *, rotated: bool) -> TiffDirectory:
    width, height = values[WIDTH], values[HEIGHT]
    tiled = bool(values[TILE_WIDTH])
    part_width = values[TILE_WIDTH] if tiled else width
    part_height = values[TILE_HEIGHT] if tiled else min(values[ROWS_PER_STRIP] or height, height)
    bits = values[BITS] * min(max(values[SAMPLES], 1), MAX_SAMPLES)
    if values[COMPRESSION] in (JPEG, OLD_JPEG):
        bits = max(bits, 24)
    pixel_bytes = 1 if bits <= 8 else 2 if bits <= 16 and values[SAMPLE_FORMAT] == 1 else 4
    if values[SAMPLES] > 1 and bits > 8:
        pixel_bytes = 4
    codec = 0
    if values[SAMPLE_FORMAT] == IEEE_FLOAT and values[SAMPLES] >= 3:
        pixel_bytes = FLOAT_COLOURS_PIXEL_BYTES
        columns = -(-width // part_width) * part_width if part_width else width
        codec = columns * height * values[SAMPLES] * 4 + len(data)
        codec += min(columns * height, BLOCK_PIXELS) * FLOAT_BLOCK_BYTES
    elif rotated:
        pixel_bytes *= 2  # Pillow rotates a copy
    if values[COMPRESSION] != NOT_COMPRESSED:
        area = part_width * part_height
        codec += area * (bits + 7) // 8
        if values[COMPRESSION] in (JPEG, OLD_JPEG):
            # A raster of all strips of YCbCr, and the coefficients if there are several scans.
            codec += area * 12
            _check_scans(data, width * height, area)
        elif values[COMPRESSION] == WEBP:
            codec += area * 8
    return TiffDirectory(width, height, pixel_bytes, codec, parts, part_width, part_height, 0)


def _check_scans(data: bytes, pixels: int, area: int) -> None:
    # Each scan processes all pixels of a part, but may be a few bytes long.
    if data.count(b"\xff\xda") * area > MAX_SCANS_OF_LARGE_IMAGES * max(pixels, LARGE_PIXELS):
        raise InvalidImage("the JPEGs in the TIFF have too many scans")
