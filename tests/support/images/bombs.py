"""Decompression bombs, with the error message for each.

Run as a program, it opens each and writes the outcome and the cost to standard output as JSON.
"""

from __future__ import annotations

import json
import resource
import struct
import sys
import time
import zlib
from typing import NamedTuple

from PIL import Image

from service.errors import InvalidImage
from service.imaging.decoder import Decoder
from service.repository.manifest import InputSpec
from tests.support.images.image_cases import (
    GREY,
    RGB,
    Fields,
    bmp_of_runs,
    encode,
    plain_tiff,
    png_chunk,
    tiff,
)

MAX_PIXELS = 50_000_000


class Cost(NamedTuple):
    outcome: str
    seconds: float
    mebibytes: float


def zeros(count: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1_000_000)) for _ in range(count // 1_000_000)) + packer.flush()


def png(width: int, height: int, *chunks: bytes, pixels: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def patched(data: bytes, place: int, patch: bytes) -> bytes:
    return data[:place] + patch + data[place + len(patch) :]


def jpeg(width: int, height: int) -> bytes:
    data = encode(GREY, "JPEG")
    return patched(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))


def jpeg_with(junk: bytes) -> bytes:
    data = encode(GREY, "JPEG")
    return data[:2] + junk + data[2:]


def jpeg_of_scans(count: int) -> bytes:
    data = encode(Image.new("L", (64, 64), 128), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


def jpeg_of_hidden_scans(count: int) -> bytes:
    """Hide scans behind markers without content, which libjpeg skips where it expects a restart."""
    data = encode(Image.new("L", (64, 64), 128), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    restarts = data[:2] + b"\xff\xdd\0\4\0\1" + data[2:-2]
    return restarts + (data[last:-2] + b"\xff\x02\xff\xff") * count + data[-2:]


def jpeg_of_two_frames() -> bytes:
    """Return a JPEG of a small and a large frame."""
    small, large = encode(GREY, "JPEG"), jpeg(7000, 7000)
    start = large.index(b"\xff\xc0")
    return small[:2] + large[start : start + 13] + small[2:]


def png_of_text(size: int) -> bytes:
    return png(1, 1, png_chunk(b"iTXt", b"x\0\0\0\0\0" + "😀".encode() + b"a" * size))


def tiff_of_overlapping_strips() -> bytes:
    """Return a TIFF in which each strip refers to all bytes of the file, most of which unpack to nothing."""
    rows, packed = 10_000, b"\x80" * 1_000_000
    strips: Fields = {273: (8,) * rows, 278: 1, 279: (len(packed),) * rows}
    return tiff(packed, {256: 700, 257: rows, 258: 8, 259: 32773, 262: 1, **strips})


def gif(screen: int, frame: int) -> bytes:
    """Return a GIF with a square screen and a square frame, which is cleared after it is shown."""
    control = b"!\xf9\4\x09\0\0\1\0"
    head = b"GIF89a" + struct.pack("<HH", screen, screen) + b"\x80\0\0" + b"\0\0\0\1\0\0"
    return head + control + b"," + struct.pack("<HHHH", 0, 0, frame, frame) + b"\0\2\1\0\0;"


def tiff_of_tiles(side: int, kind: int = 4) -> bytes:
    """Return a TIFF of 10x10 pixels in one tile; `kind` is the type of the field of the tile's width."""
    tile = zeros(20_000_000)
    fields: Fields = {256: 10, 257: 10, 258: 8, 259: 8, 262: 1, 322: side, 323: side, 324: 8, 325: len(tile)}
    return tiff(tile, fields).replace(struct.pack("<HHL", 322, 4, 1), struct.pack("<HHL", 322, kind, 1))


def bombs() -> dict[str, tuple[bytes, str]]:
    """Return the bytes and the error message of each bomb by name."""

    def too_large(width: int, height: int) -> str:
        return f"the image has {width}x{height} pixels; at most 50,000,000 are decoded (CONVSERVE_MAX_PIXELS)"

    too_small_parts = "truncated or corrupt: it is made of too many small parts"
    profile = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2**20 - 1)))
    return {
        "PNG": (png(50_000, 50_000, pixels=zeros(50_000_000)), too_large(50_000, 50_000)),
        "JPEG": (jpeg(40_000, 30_000), too_large(40_000, 30_000)),
        "WebP": (
            patched(encode(RGB, "WEBP"), 26, struct.pack("<HH", 12_000, 12_000)),
            too_large(12_000, 12_000),
        ),
        "WebP beyond Pillow's limit": (
            patched(encode(RGB, "WEBP"), 26, struct.pack("<HH", 16_383, 16_383)),
            too_large(16_383, 16_383),
        ),
        "BMP": (
            patched(encode(RGB, "BMP"), 18, struct.pack("<ii", 90_000, 90_000)),
            too_large(90_000, 90_000),
        ),
        "GIF": (gif(50_000, 1), too_large(50_000, 50_000)),
        "GIF of a large frame": (gif(1, 9_000), too_large(9_000, 9_000)),
        "GIF of a frame beyond Pillow's limit": (gif(1, 20_000), too_large(20_000, 20_000)),
        "TIFF": (plain_tiff(GREY, {258: 8, 256: 30_000, 257: 30_000}), too_large(30_000, 30_000)),
        "TIFF of a large tile": (tiff_of_tiles(30_000), too_large(30_000, 30_000)),
        "TIFF of a tile of unknown size": (
            tiff_of_tiles(30_000, kind=16),
            "the TIFF gives the size of its tiles in an unknown way",
        ),
        "TIFF of a million strips": (
            plain_tiff(GREY, {258: 8, 278: 1, 273: (8,) * 1_000_000}),
            "the TIFF is cut into 1,000,000 parts; at most 20,000 are decoded",
        ),
        "BigTIFF of a million fields": (
            b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1_000_000) + bytes(20_000_000),
            "the TIFF has 1,000,000 fields; at most 4,096 are read",
        ),
        "one pixel wide": (
            png(1, 49_000_000),
            "the image has 1x49000000 pixels; no side may have more than 65,535",
        ),
        "PNG of a million chunks": (
            png(1, 1, png_chunk(b"abCd", b"") * 1_000_000),
            f"the PNG is {too_small_parts}",
        ),
        "PNG of a thousand profiles": (
            png(1, 1, profile * 1000),
            "the PNG has 1,000 packed texts and profiles; at most 32 are read",
        ),
        "JPEG of a million segments": (
            jpeg_with(b"\xff\xe5\0\2" * 1_000_000),
            "the JPEG has more than 10,000 segments",
        ),
        "JPEG of a million bytes of junk": (
            jpeg_with(b"\xff\xe5\0\2" + b"a" * 1_000_000),
            f"the JPEG is {too_small_parts}",
        ),
        "JPEG of a thousand scans": (jpeg_of_scans(1000), "the JPEG has more than 100 scans"),
        "JPEG of a thousand hidden scans": (jpeg_of_hidden_scans(1000), "the JPEG has more than 100 scans"),
        "JPEG of two frames": (jpeg_of_two_frames(), "the JPEG has more than one frame header"),
        "JPEG of a million tables": (
            jpeg_with((b"\xff\xdb\xff\xdd" + (b"\0" + bytes(range(1, 65))) * 1007 + b"\0" * 4) * 500),
            "the JPEG has more than 64 segments of tables, EXIF or Photoshop data",
        ),
        "PNG of a large text": (
            png_of_text(30_000_000),
            "the PNG has 30,000,010 bytes of texts; at most 4,194,304 are read",
        ),
        "TIFF of overlapping strips": (tiff_of_overlapping_strips(), "the parts of the TIFF overlap"),
        "TIFF of a million values": (
            plain_tiff(GREY, {258: (8,) * 1_000_000}),
            "the TIFF has 1,000,000 values in the field 258; at most 65,536 are read",
        ),
        "GIF of a million blocks": (
            b"GIF89a\1\0\1\0\0\0\0" + b"!\xfe\0" * 1_000_000 + b",",
            f"the GIF is {too_small_parts}",
        ),
        "BMP of runs": (
            bmp_of_runs(40_000_000, 1, b"\1\1\0\0\0\1"),
            "the BMP has 40000000x1 run-length encoded pixels; at most 2,000,000 of these are decoded",
        ),
    }


def peak() -> float:
    """The peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cost(decoder: Decoder, data: bytes) -> Cost:
    held, start = peak(), time.process_time()
    try:
        decoder.open(data)
        outcome = "opened"
    except InvalidImage as error:
        outcome = str(error)
    return Cost(outcome, time.process_time() - start, peak() - held)


if __name__ == "__main__":
    spec = InputSpec.model_validate_json(sys.argv[1])
    decoder = Decoder(spec, max_pixels=MAX_PIXELS)
    json.dump({name: cost(decoder, data) for name, (data, _) in bombs().items()}, sys.stdout)
