"""Reads TIFFs of floating-point colours, which Pillow does not know, by way of floating-point greys.

A colour image is a grey one that is several times as wide. `read_float_colours` appends a directory that
says so, without the predictor of the compression, which `to_rgb` undoes. This module imports nothing of the
package: `export/imaging/float_colours.py` is the same file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_FIELDS = 4096
BLOCK_PIXELS = 1 << 16

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_SIZES = 273, 274, 277, 278, 279
_PLANES, _PREDICTOR, _EXTRA, _SAMPLE_FORMAT = 284, 317, 338, 339
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_SIZES = 322, 323, 324, 325
_COPIED = frozenset(
    {_HEIGHT, _COMPRESSION, _STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_SIZES}
    | {_TILE_HEIGHT, _TILE_OFFSETS, _TILE_SIZES}
)
_IEEE_FLOAT, _RGB, _MIN_IS_BLACK, _NOT_COMPRESSED = 3, 2, 1, 1
_HORIZONTAL, _FLOATING_POINT = 2, 3
_PREMULTIPLIED = 1
_CODES = {1: "B", 3: "H", 4: "L", 16: "Q"}
_LONG = 4

# Maps a top and a bottom to the rows between them, float32.
ReadRows = Callable[[int, int], NDArray[np.float32]]


class FloatColours(NamedTuple):
    """A TIFF of colours, read as one of greys.

    Attributes:
        grey: the TIFF with another directory.
        width, height: the size of the image.
        samples: 3, or 4 with an alpha channel or one that has no meaning.
        alpha: the meaning of the fourth sample: 0 none, 1 colours are multiplied by it, 2 they are not.
        orientation: as in EXIF.
        predictor: 1 none, 2 differences of numbers, 3 differences of bytes.
        segment: the pixels of a row after which the predictor starts again.
        big_endian: the byte order of the file.
    """

    grey: bytes
    width: int
    height: int
    samples: int
    alpha: int
    orientation: int
    predictor: int
    segment: int
    big_endian: bool


def read_float_colours(data: bytes) -> FloatColours | None:
    """The layout of a TIFF of floating-point colours; None if it is another image, or damaged.

    Raises:
        ValueError: its samples are stored in a way that is not read.
    """
    try:
        order, big, fields = _fields(data)
        values = {
            tag: _value(data, order, big, *field) for tag, field in fields.items() if field[0] in _CODES
        }
    except struct.error:
        return None
    samples = values.get(_SAMPLES, 1)
    if values.get(_SAMPLE_FORMAT) != _IEEE_FLOAT or values.get(_PHOTOMETRIC) != _RGB or samples < 3:
        return None
    compressed = values.get(_COMPRESSION, _NOT_COMPRESSED) != _NOT_COMPRESSED
    predictor = values.get(_PREDICTOR, 1) if compressed else 1
    if samples > 4 or values.get(_PLANES, 1) != 1 or values.get(_BITS) != 32:
        raise ValueError("floating-point colours must have 32 bits and lie side by side")
    width, height = values.get(_WIDTH, 0), values.get(_HEIGHT, 0)
    tile = values.get(_TILE_WIDTH, 0)
    # Whole tiles, since the predictor mixes all bytes of a row.
    wide = -(-width // tile) * tile if tile else width
    changed = {
        _WIDTH: wide * samples,
        _BITS: 32,
        _PHOTOMETRIC: _MIN_IS_BLACK,
        _SAMPLES: 1,
        _SAMPLE_FORMAT: _IEEE_FLOAT,
        **({_TILE_WIDTH: tile * samples} if tile else {}),
    }
    return FloatColours(
        grey=_with_directory(data, order, big, {t: f for t, f in fields.items() if t in _COPIED}, changed),
        width=width,
        height=height,
        samples=samples,
        alpha=values.get(_EXTRA, 0) if samples == 4 else 0,
        orientation=values.get(_ORIENTATION, 1),
        predictor=predictor,
        segment=tile or wide,
        big_endian=order == ">",
    )


def to_rgb(read: ReadRows, colours: FloatColours) -> NDArray[np.uint8]:
    """Eight bits of red, green and blue, over white; `read` returns some rows of the greys.

    The format does not define white: it is the lowest of 1, 255 and 65535 that no value exceeds, otherwise
    the highest value. Negative and non-finite values are black.
    """
    rows = max(1, BLOCK_PIXELS // colours.width)
    blocks = [(top, min(top + rows, colours.height)) for top in range(0, colours.height, rows)]
    peak = max(float(_samples(read(*block), colours)[..., :3].max()) for block in blocks)
    white = next((white for white in (1, 255, 65535) if peak <= white), peak)
    rgb = np.empty((colours.height, colours.width, 3), np.uint8)
    for top, bottom in blocks:
        shares = np.clip(_samples(read(top, bottom), colours) / np.float32(white), 0, 1)
        if colours.alpha:
            alpha = shares[..., 3:]
            shown = shares[..., :3] if colours.alpha == _PREMULTIPLIED else shares[..., :3] * alpha
            shares = np.minimum(shown + (1 - alpha), 1)
        rgb[top:bottom] = np.rint(shares[..., :3] * np.float32(255))
    return rgb


def _samples(rows: NDArray[np.float32], colours: FloatColours) -> NDArray[np.float32]:
    """Some rows of the image, `(rows, width, samples)`, without the predictor and without infinities."""
    height, wide = rows.shape
    if colours.predictor != 1:
        undo = _sum_numbers if colours.predictor == _HORIZONTAL else _sum_bytes
        step = colours.segment * colours.samples
        parts = [undo(rows[:, left : left + step], colours) for left in range(0, wide, step)]
        rows = np.concatenate(parts, axis=1)
    shaped = rows.reshape(height, -1, colours.samples)[:, : colours.width]
    return np.nan_to_num(shaped, nan=0, posinf=0, neginf=0)


def _sum_numbers(rows: NDArray[np.float32], colours: FloatColours) -> NDArray[np.float32]:
    numbers = np.ascontiguousarray(rows).view(np.uint32).reshape(len(rows), -1, colours.samples)
    sums = numbers.cumsum(axis=1, dtype=np.uint32)
    return sums.view(np.float32).reshape(len(rows), -1)


def _sum_bytes(rows: NDArray[np.float32], colours: FloatColours) -> NDArray[np.float32]:
    stored = np.ascontiguousarray(rows)
    if colours.big_endian:  # libtiff has swapped bytes that were no numbers yet
        stored = stored.byteswap()
    differences = stored.view(np.uint8).reshape(len(rows), -1, colours.samples)
    sums = differences.cumsum(axis=1, dtype=np.uint8)
    # The highest bytes of all numbers of a row come first, then the next ones.
    planes = sums.reshape(len(rows), 4, -1).transpose(0, 2, 1)
    return np.ascontiguousarray(planes).view(">f4")[..., 0].astype(np.float32)


def _fields(data: bytes) -> tuple[str, bool, dict[int, tuple[int, int, bytes]]]:
    """The byte order, True for a BigTIFF, and type, count and value of each field of the first directory."""
    order = "<" if data.startswith(b"II") else ">"
    big = 43 in data[2:4]
    (start,) = struct.unpack_from(order + "Q", data, 8) if big else struct.unpack_from(order + "L", data, 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    entry = struct.Struct(order + ("HHQ8s" if big else "HHL4s"))
    first = start + (8 if big else 2)
    entries = data[first : first + min(count, MAX_FIELDS) * entry.size]
    whole = entries[: len(entries) // entry.size * entry.size]
    return order, big, {tag: (kind, number, value) for tag, kind, number, value in entry.iter_unpack(whole)}


def _value(data: bytes, order: str, big: bool, kind: int, count: int, value: bytes) -> int:
    """The first number of a field."""
    code = order + _CODES[kind]
    if count * struct.calcsize(code) <= len(value):
        return int(struct.unpack_from(code, value)[0])
    (offset,) = struct.unpack(order + ("Q" if big else "L"), value)
    return int(struct.unpack_from(code, data, offset)[0])


def _with_directory(
    data: bytes, order: str, big: bool, copied: dict[int, tuple[int, int, bytes]], changed: dict[int, int]
) -> bytes:
    """The TIFF with another directory at its end, of fields as they are and of fields with one number."""
    place = order + ("Q" if big else "L")
    fields: dict[int, tuple[int, int, bytes]] = dict(copied)
    for tag, number in changed.items():
        fields[tag] = (_LONG, 1, struct.pack(order + "L", number).ljust(struct.calcsize(place), b"\0"))
    start = len(data) + len(data) % 2
    directory = struct.pack(order + ("Q" if big else "H"), len(fields)) + b"".join(
        struct.pack(order + "HH" + place[1], tag, kind, count) + value
        for tag, (kind, count, value) in sorted(fields.items())
    )
    head = 8 if big else 4
    pointer = struct.pack(place, start)
    rest = memoryview(data)[head + len(pointer) :]
    return b"".join((data[:head], pointer, rest, bytes(len(data) % 2), directory, bytes(len(pointer))))
