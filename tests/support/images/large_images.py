"""Legal images whose decoding needs about as much memory as the server allows."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

SIDE = 7071  # squared, a little less than CONVSERVE_MAX_PIXELS


def drawing(mode: str, side: int) -> Image.Image:
    """A drawing in which no pixel is zero, and which is fast to compress."""
    row = (np.arange(side) // 50 % 200 + 20).astype(np.uint8)
    grey = Image.fromarray(np.tile(row, (side, 1)))
    match mode:
        case "I;16":
            return Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
        case "F":
            return Image.fromarray(np.asarray(grey).astype(np.float32))
        case "P":
            indexed = grey.copy()
            indexed.putpalette([value for index in range(256) for value in (index, 255 - index, 9)])
            return indexed
        case "LA" | "RGBA":
            image = grey.convert("RGB" if mode == "RGBA" else "L")
            image.putalpha(grey)
            return image
        case _:
            return grey.convert(mode)


def encoded(mode: str, side: int, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    drawing(mode, side).save(buffer, form, **options)
    return buffer.getvalue()


def png(mode: str, side: int = SIDE) -> bytes:
    return encoded(mode, side, "PNG", compress_level=9, compress_type=zlib.Z_RLE)


def one_strip(mode: str, side: int, compression: str) -> bytes:
    return encoded(mode, side, "TIFF", compression=compression, tiffinfo={278: side})


ROTATED = Image.Exif()
ROTATED[0x0112] = 6

# By name: an image of this side, and the largest side that is admitted by default.
LARGEST: Mapping[str, tuple[Callable[[int], bytes], int]] = {
    "PNG L": (lambda side: png("L", side), SIDE),
    "PNG P": (lambda side: png("P", side), SIDE),
    "PNG 16 bits": (lambda side: png("I;16", side), SIDE),
    "PNG LA": (lambda side: png("LA", side), SIDE),
    "PNG RGB": (lambda side: png("RGB", side), SIDE),
    "PNG RGBA": (lambda side: png("RGBA", side), SIDE),
    "PNG RGB, rotated": (lambda side: encoded("RGB", side, "PNG", exif=ROTATED), SIDE),
    "JPEG": (lambda side: encoded("RGB", side, "JPEG", quality=30), SIDE),
    "JPEG progressive": (lambda side: encoded("RGB", side, "JPEG", quality=30, progressive=True), SIDE),
    "JPEG progressive, all colours": (
        lambda side: encoded("RGB", side, "JPEG", quality=30, progressive=True, subsampling=0),
        6500,
    ),
    "JPEG progressive CMYK": (
        lambda side: encoded("CMYK", side, "JPEG", quality=30, progressive=True, subsampling=0),
        5600,
    ),
    "WebP": (lambda side: encoded("RGB", side, "WEBP", quality=10, method=0), 4450),
    "WebP lossless": (lambda side: encoded("RGBA", side, "WEBP", lossless=True, method=0, exact=True), 4450),
    "BMP 1": (lambda side: encoded("1", side, "BMP"), SIDE),
    "BMP RGB": (lambda side: encoded("RGB", side, "BMP"), 3300),
    "GIF": (lambda side: encoded("P", side, "GIF"), SIDE),
    "TIFF F": (lambda side: encoded("F", side, "TIFF", compression="tiff_adobe_deflate"), SIDE),
    "TIFF F, one strip": (lambda side: one_strip("F", side, "tiff_adobe_deflate"), 5400),
    "TIFF RGB, LZW": (lambda side: encoded("RGB", side, "TIFF", compression="tiff_lzw"), SIDE),
    "TIFF RGB, rotated": (
        lambda side: encoded("RGB", side, "TIFF", compression="tiff_adobe_deflate", exif=ROTATED),
        5650,
    ),
    "TIFF RGB, one JPEG": (lambda side: one_strip("RGB", side, "jpeg"), 3550),
    "TIFF 1, as a fax": (lambda side: encoded("1", side, "TIFF", compression="group4"), SIDE),
}


@cache
def largest(name: str) -> bytes:
    draw, side = LARGEST[name]
    return draw(side)
