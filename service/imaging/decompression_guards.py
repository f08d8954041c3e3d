"""Recognises the format of an image and rejects decompression bombs before Pillow reads them.

A limit of pixels bounds the cost of most images. But a file of a few hundred bytes can keep a core busy for
minutes, and one of a few pixels can need gigabytes. The known kinds of such files are rejected here.
"""

from __future__ import annotations

import io
import re
import struct

from ..errors import InvalidImage

FORMATS = ("PNG", "JPEG", "WebP", "BMP", "GIF", "TIFF")

# Each limit is far above what cameras and drawing programs write.
MAX_SIDE = 65_535
MAX_JPEG_SEGMENTS = 10_000
MAX_JPEG_SCANS = 100
MAX_PNG_PACKED_CHUNKS = 32
MAX_BMP_RUN_LENGTH_PIXELS = 2_000_000
MAX_TIFF_FIELDS = 4096
MAX_TIFF_STRIPS = 65_536

TIFF_STRIPS = (273, 324)  # StripOffsets, TileOffsets
TIFF_TILE_SIDES = (322, 323)

_SIGNATURE = re.compile(
    rb"(?P<PNG>\x89PNG\r\n\x1a\n)|(?P<JPEG>\xff\xd8\xff)|(?P<WebP>RIFF.{4}WEBP)"
    rb"|(?P<BMP>BM)|(?P<GIF>GIF8[79]a)|(?P<TIFF>II[*+]\0|MM\0[*+])",
    re.DOTALL,
)

# Matches markers that begin a segment: no stuffed bytes, restarts or padding.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"


class LimitedSource(io.BytesIO):
    """The bytes of an image, which can be read only `reads` times.

    Pillow reads chunks, segments and runs one by one in Python, so that a file of a million empty ones would
    hold the interpreter for seconds.

    Raises:
        OSError: from `read`, if the limit is exceeded.
    """

    def __init__(self, data: bytes, *, reads: int) -> None:
        super().__init__(data)
        self.reads = reads

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads -= 1
        if self.reads < 0:
            raise OSError("it is made of too many small parts")
        return super().read(size)


def recognise(data: bytes) -> str:
    """The format of the image, one of FORMATS.

    Raises:
        InvalidImage: the bytes have none of these formats.
    """
    if not data:
        raise InvalidImage("the image is empty: it has no bytes")
    found = _SIGNATURE.match(data)
    if found is None or found.lastgroup is None:
        start = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data[:12])
        raise InvalidImage(
            f"not an image in a supported format ({', '.join(FORMATS)}); it begins with '{start}'"
        )
    return found.lastgroup


def check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise InvalidImage(f"the image has {width}x{height} pixels; at most {max_pixels:,} are decoded")
    if max(width, height) > MAX_SIDE:
        raise InvalidImage(f"the image has {width}x{height} pixels; no side may have more than {MAX_SIDE:,}")


def check_bombs(image_format: str, data: bytes, max_pixels: int) -> None:
    """
    Raises:
        InvalidImage: the image is a decompression bomb.
        struct.error: a header is truncated.
    """
    match image_format:
        case "PNG":
            _check_packed_chunks(data)
        case "JPEG":
            _check_scans(data)
        case "BMP":
            _check_runs(data)
        case "TIFF":
            _check_directory(data, max_pixels)


def _check_packed_chunks(data: bytes) -> None:
    # A thousand bytes of such a chunk unpack to a megabyte, which is not used.
    packed = sum(map(data.count, (b"iCCP", b"zTXt", b"iTXt")))
    if packed > MAX_PNG_PACKED_CHUNKS:
        raise InvalidImage(
            f"the PNG has {packed:,} packed texts and profiles; at most {MAX_PNG_PACKED_CHUNKS} are read"
        )


def _check_scans(data: bytes) -> None:
    # Each scan of a progressive JPEG processes all pixels, but may be a few bytes long.
    scans, position = 0, 2
    for _ in range(MAX_JPEG_SEGMENTS):
        marker = _JPEG_MARKER.search(data, position)
        if marker is None or marker[0] == END_OF_IMAGE:
            return
        scans += marker[0] == START_OF_SCAN
        if scans > MAX_JPEG_SCANS:
            raise InvalidImage(f"the JPEG has more than {MAX_JPEG_SCANS} scans")
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    raise InvalidImage(f"the JPEG has more than {MAX_JPEG_SEGMENTS:,} segments")


def _check_runs(data: bytes) -> None:
    # Pillow decodes these in Python, pixel by pixel.
    (header_size,) = struct.unpack_from("<L", data, 14)
    if header_size < 40:
        return
    width, height, compression = struct.unpack_from("<ll4xL", data, 18)
    if compression in (1, 2) and abs(width * height) > MAX_BMP_RUN_LENGTH_PIXELS:
        raise InvalidImage(
            f"the BMP has {width}x{abs(height)} run-length encoded pixels; "
            f"at most {MAX_BMP_RUN_LENGTH_PIXELS:,} of these are decoded"
        )


def _check_directory(data: bytes, max_pixels: int) -> None:
    # A tile is unpacked whole, even if the image shows little of it; each strip costs Python objects.
    order = "<" if data.startswith(b"II") else ">"
    big = 43 in data[2:4]
    (start,) = struct.unpack_from(order + "Q", data, 8) if big else struct.unpack_from(order + "L", data, 4)
    (fields,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    if fields > MAX_TIFF_FIELDS:
        raise InvalidImage(f"the TIFF has {fields:,} fields; at most {MAX_TIFF_FIELDS:,} are read")
    field = struct.Struct(order + ("HHQ8s" if big else "HHL4s"))
    first = start + (8 if big else 2)
    tile = dict.fromkeys(TIFF_TILE_SIDES, 1)
    for tag, kind, count, value in field.iter_unpack(data[first : first + fields * field.size]):
        if tag in TIFF_STRIPS and count > MAX_TIFF_STRIPS:
            raise InvalidImage(
                f"the TIFF is cut into {count:,} parts; at most {MAX_TIFF_STRIPS:,} are decoded"
            )
        if tag in TIFF_TILE_SIDES:
            # SHORT or LONG; with other types the value may be stored elsewhere, and they are not in use.
            if kind not in (3, 4):
                raise InvalidImage("the TIFF gives the size of its tiles in an unknown way")
            (side,) = struct.unpack_from(order + ("H" if kind == 3 else "L"), value)
            tile[tag] = max(tile[tag], side)
    width, height = tile.values()
    check_size(width, height, max_pixels)
