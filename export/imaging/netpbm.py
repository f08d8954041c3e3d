"""Reads PBM, PGM and PPM images, plain or binary, of any maximum value.

Pillow reads the plain ones, and maximum values other than 255 and 65535, pixel by pixel in Python. This
module imports nothing of the package: `export/imaging/netpbm.py` is the same file.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Of the bytes before the pixels, with comments.
MAX_HEADER_BYTES = 4096
# Bytes and samples that one call of NumPy handles; it holds the interpreter meanwhile.
BLOCK = 1 << 16
MAX_DIGITS = 32

_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_NUMBER = rb"(\d{1,9})"
_BITS = re.compile(rb"P([14])" + (_GAP + _NUMBER) * 2 + rb"\s")
_SAMPLES = re.compile(rb"P([2356])" + (_GAP + _NUMBER) * 3 + rb"\s")
_COMMENT = re.compile(rb"#[^\r\n]*")
_OTHER = re.compile(rb"[^\d\s]")
_SPACE = re.compile(rb"\s")


class NetpbmHeader(NamedTuple):
    """The header of an image.

    Attributes:
        channels: 1 for bits and greys, 3 for colours.
        maximum: the value of white; 1 for bits, in which 1 is black.
        plain: True if the pixels are written in digits.
        start: the position of the pixels.
    """

    width: int
    height: int
    channels: int
    maximum: int
    plain: bool
    start: int

    @property
    def samples(self) -> int:
        return self.width * self.height * self.channels


def read_header(data: bytes) -> NetpbmHeader:
    """
    Raises:
        ValueError: the header is damaged or too long.
    """
    head = data[:MAX_HEADER_BYTES]
    found = _BITS.match(head) or _SAMPLES.match(head)
    if found is None:
        raise ValueError("it has no complete header")
    magic, width, height, *rest = (int(value) for value in found.groups())
    maximum = rest[0] if rest else 1
    if not 0 < maximum < 65536:
        raise ValueError("its maximum value must be between 1 and 65535")
    channels = 3 if magic in (3, 6) else 1
    return NetpbmHeader(width, height, channels, maximum, magic <= 3, found.end())


def read_pixels(data: bytes, header: NetpbmHeader) -> NDArray[np.uint8]:
    """The pixels, `(height, width)` or `(height, width, 3)`, scaled so that white is 255.

    Raises:
        ValueError: pixels are missing, or are not numbers.
    """
    bits = data[1:2] in b"14"
    if header.plain:
        pixels = _plain(data, header, bits=bits)
    elif bits:
        pixels = _packed_bits(data, header)
    else:
        pixels = _binary(data, header)
    shape = (header.height, header.width, 3) if header.channels == 3 else (header.height, header.width)
    return pixels.reshape(shape)


def _packed_bits(data: bytes, header: NetpbmHeader) -> NDArray[np.uint8]:
    stride = (header.width + 7) // 8
    packed = _stored(data, header, np.dtype(np.uint8), header.height * stride).reshape(header.height, stride)
    # A set bit is black.
    unpacked = np.unpackbits(packed, axis=1, count=header.width)
    unpacked -= 1
    return unpacked


def _binary(data: bytes, header: NetpbmHeader) -> NDArray[np.uint8]:
    stored = np.dtype(np.uint8 if header.maximum < 256 else ">u2")
    values = _stored(data, header, stored, header.samples)
    if header.maximum == 255:
        return values
    levels = _levels(header.maximum)
    pixels = np.empty(header.samples, np.uint8)
    for start in range(0, header.samples, BLOCK):
        block = np.minimum(values[start : start + BLOCK], header.maximum)
        pixels[start : start + BLOCK] = levels[block]
    return pixels


def _stored(data: bytes, header: NetpbmHeader, dtype: np.dtype[np.generic], count: int) -> NDArray[np.uint8]:
    if len(data) - header.start < count * dtype.itemsize:
        raise ValueError("image file is truncated")
    return np.frombuffer(data, dtype, count, header.start)


def _plain(data: bytes, header: NetpbmHeader, *, bits: bool) -> NDArray[np.uint8]:
    if data.find(b"#", header.start) >= 0:
        data, position = _COMMENT.sub(b" ", data[header.start :]), 0
    else:
        position = header.start
    levels = np.array([255, 0], np.uint8) if bits else _levels(header.maximum)
    pixels = np.empty(header.samples, np.uint8)
    filled = 0
    while filled < header.samples and position < len(data):
        end = position + BLOCK
        if not bits and end < len(data):
            space = _SPACE.search(data, end, end + MAX_DIGITS)
            if space is None:
                raise ValueError("its pixels are not numbers")
            end = space.start()
        block = data[position:end]
        position = end
        if _OTHER.search(block) is not None:
            raise ValueError("its pixels are not numbers")
        if bits:
            values = _digits(block)
        elif not block.isspace():
            values = np.fromstring(block, np.int64, sep=" ")
        else:  # in which NumPy finds a zero
            continue
        values = np.minimum(values[: header.samples - filled], header.maximum)
        pixels[filled : filled + len(values)] = levels[values]
        filled += len(values)
    if filled < header.samples:
        raise ValueError("image file is truncated")
    return pixels


def _digits(block: bytes) -> NDArray[np.uint8]:
    """The bits of a plain PBM, which need no space between them."""
    return np.frombuffer(b"".join(block.split()), np.uint8) - 48


def _levels(maximum: int) -> NDArray[np.uint8]:
    """The eight bits of each value; the upper ones of sixteen, as in a PNG."""
    values = np.arange(maximum + 1)
    if maximum == 65535:
        return (values >> 8).astype(np.uint8)
    return np.rint(values * 255 / maximum).astype(np.uint8)
