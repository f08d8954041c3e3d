"""Recognises the format of an image and rejects decompression bombs before Pillow reads them.

A limit of pixels bounds the cost of most images. But a file of a few hundred bytes can keep a core busy for
minutes, and one of a few pixels can need gigabytes. The known kinds of such files are rejected here.
"""

from __future__ import annotations

import io
import re
from typing import NamedTuple

from ..errors import InvalidImage

FORMATS = ("PNG", "JPEG", "WebP", "BMP", "GIF", "TIFF", "PNM")

# Each limit is far above what cameras and drawing programs write.
MAX_SIDE = 65_535
MAX_BMP_RUN_LENGTH_PIXELS = 2_000_000

_SIGNATURE = re.compile(
    rb"(?P<PNG>\x89PNG\r\n\x1a\n)|(?P<JPEG>\xff\xd8\xff)|(?P<WebP>RIFF.{4}WEBP)"
    rb"|(?P<BMP>BM)|(?P<GIF>GIF8[79]a)|(?P<TIFF>II[*+]\0|MM\0[*+])|(?P<PNM>P[1-6][\s#])",
    re.DOTALL,
)

# Formats that people send and that are not decoded.
_NOT_DECODED = re.compile(
    rb"(?P<AVIF>.{4}ftyp(?:avi[fs]|mif1.{4}(?:.{4}){0,8}avif))|(?P<HEIC>.{4}ftyp(?:hei[cmsx]|hev[cmsx]|m[is]f1))"
    rb"|(?P<JPEG_XL>\xff\x0a|\0\0\0\x0cJXL )"
    rb"|(?P<JPEG_2000>\0\0\0\x0cjP  |\xff\x4f\xff\x51)|(?P<SVG>\s*(?:<\?xml.{0,200})?<svg)|(?P<PDF>%PDF-)",
    re.DOTALL,
)


class PixelLimit(NamedTuple):
    """The largest number of pixels of an image, and the setting or the kind of model that it comes from."""

    pixels: int
    reason: str

    def __str__(self) -> str:
        return f"{self.pixels:,} are decoded ({self.reason})"


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
        if (known := _NOT_DECODED.match(data)) is not None and known.lastgroup is not None:
            kind = known.lastgroup.replace("_", " ")
            raise InvalidImage(
                f"the image is in the format {kind}, which is not decoded; save it as JPEG or PNG"
            )
        raise InvalidImage(
            f"not an image in a supported format ({', '.join(FORMATS)}); it begins with '{start}'"
        )
    return found.lastgroup


def check_size(width: int, height: int, limit: PixelLimit) -> None:
    """
    Raises:
        InvalidImage: the image has too many pixels, or too many in a row or column.
    """
    if width * height > limit.pixels:
        raise InvalidImage(f"the image has {width}x{height} pixels; at most {limit}")
    if max(width, height) > MAX_SIDE:
        raise InvalidImage(f"the image has {width}x{height} pixels; no side may have more than {MAX_SIDE:,}")


def check_runs(width: int, height: int, compression: int) -> bool:
    """True if a BMP is run-length encoded; Pillow decodes these in Python, pixel by pixel.

    Raises:
        InvalidImage: it has too many pixels.
    """
    if compression not in (1, 2):
        return False
    if width * height > MAX_BMP_RUN_LENGTH_PIXELS:
        raise InvalidImage(
            f"the BMP has {width}x{height} run-length encoded pixels; "
            f"at most {MAX_BMP_RUN_LENGTH_PIXELS:,} of these are decoded"
        )
    return True
