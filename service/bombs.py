"""Pictures that would cost far more than their pixels, told by their bytes before Pillow sees them.

Counting pixels bounds what most pictures cost. What follows are the ways round it: a few hundred bytes that
keep a core busy for minutes, or a file of a few pixels that asks for gigabytes.
"""

from __future__ import annotations

import io
import struct

from .errors import InvalidImage

# Each bound is far beyond what any camera or drawing program writes.
MAX_JPEG_SCANS = 100
MAX_PNG_PACKED_CHUNKS = 256
MAX_BMP_RUN_LENGTH_PIXELS = 4_000_000
MAX_TIFF_FIELDS = 4096
MAX_TIFF_STRIPS = 65_536

TIFF_STRIPS = (273, 324)  # StripOffsets, TileOffsets
TIFF_TILE_SIDES = (322, 323)


class Source(io.BytesIO):
    """The bytes of a picture, which may be read only `reads` times.

    Pillow walks chunks, segments and runs in Python, one or more reads for each, so a file of a million empty
    ones would hold the interpreter for seconds.
    """

    def __init__(self, data: bytes, *, reads: int) -> None:
        super().__init__(data)
        self.reads = reads

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads -= 1
        if self.reads < 0:
            raise OSError("it is made of too many small parts")
        return super().read(size)


def too_many_pixels(width: int, height: int, max_pixels: int) -> InvalidImage:
    return InvalidImage(
        f"the picture has {width}x{height} = {width * height:,} pixels; at most {max_pixels:,} are decoded"
    )


def refuse_bombs(form: str, data: bytes, max_pixels: int) -> None:
    """Raise InvalidImage on a bomb; struct.error where a header ends too early."""
    match form:
        case "PNG":
            _refuse_packed_chunks(data)
        case "JPEG":
            _refuse_scans(data)
        case "GIF":
            _refuse_screen(data, max_pixels)
        case "BMP":
            _refuse_runs(data)
        case "TIFF":
            _refuse_directory(data, max_pixels)


def _refuse_packed_chunks(data: bytes) -> None:
    # A thousand bytes of such a chunk unpack to a megabyte, and are unpacked for nothing.
    packed = sum(map(data.count, (b"iCCP", b"zTXt", b"iTXt")))
    if packed > MAX_PNG_PACKED_CHUNKS:
        raise InvalidImage(
            f"the PNG has {packed:,} packed texts and profiles; at most {MAX_PNG_PACKED_CHUNKS} are read"
        )


def _refuse_scans(data: bytes) -> None:
    # Each scan of a progressive JPEG goes over all pixels, and may be a few bytes long.
    scans = data.count(b"\xff\xda")
    if scans > MAX_JPEG_SCANS:
        raise InvalidImage(f"the JPEG has {scans:,} scans; at most {MAX_JPEG_SCANS} are decoded")


def _refuse_screen(data: bytes, max_pixels: int) -> None:
    # Pillow may fill the whole screen with the background as soon as it opens the file.
    width, height = struct.unpack_from("<HH", data, 6)
    if width * height > max_pixels:
        raise too_many_pixels(width, height, max_pixels)


def _refuse_runs(data: bytes) -> None:
    # Pillow decodes these in Python, pixel by pixel.
    (header_size,) = struct.unpack_from("<L", data, 14)
    if header_size < 40:
        return
    width, height, compression = struct.unpack_from("<ll4xL", data, 18)
    if compression in (1, 2) and abs(width * height) > MAX_BMP_RUN_LENGTH_PIXELS:
        raise InvalidImage(
            f"the BMP has {width}x{abs(height)} run-length encoded pixels; "
            f"at most {MAX_BMP_RUN_LENGTH_PIXELS:,} of such are decoded"
        )


def _refuse_directory(data: bytes, max_pixels: int) -> None:
    # A tile is unpacked whole, however little of it the picture shows; each strip costs Python objects.
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
            # SHORT or LONG; of other types the value may lie elsewhere, and nobody writes them.
            if kind not in (3, 4):
                raise InvalidImage("the TIFF gives the size of its tiles in an unknown way")
            (side,) = struct.unpack_from(order + ("H" if kind == 3 else "L"), value)
            tile[tag] = max(tile[tag], side)
    width, height = tile.values()
    if width * height > max_pixels:
        raise too_many_pixels(width, height, max_pixels)
