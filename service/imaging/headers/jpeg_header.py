"""Reads the header of a JPEG as libjpeg does, to know its cost before anything is decoded."""

from __future__ import annotations

import re
from typing import NamedTuple

from ...errors import InvalidImage

MAX_SEGMENTS = 10_000
MAX_SCANS = 100
# Each scan processes all pixels, but may be a few bytes long. Encoders write about ten.
MAX_SCANS_OF_LARGE_IMAGES = 20
LARGE_PIXELS = 10_000_000
# Pillow reads the contents of these in Python, or joins them one by one. One holds 64 KB.
MAX_METADATA_SEGMENTS = 64
_TABLES, _EXIF, _PHOTOSHOP = 0xDB, 0xE1, 0xED
MAX_COMPONENTS = 4
MAX_SAMPLING = 4

START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
_SCAN = b"\xff\xda"
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
# Markers of more than two bytes, thus not restarts; markers below 0xc0 are reserved.
_SEGMENT = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
_SEARCHED_AT_ONCE = 1 << 20  # bytes; a search holds the interpreter


class JpegHeader(NamedTuple):
    """The frame header of a JPEG.

    Attributes:
        coefficient_bytes: bytes of the coefficients that the decoder keeps; 0 if it has one scan.
        length: bytes before the first scan.
    """

    width: int = 0
    height: int = 0
    components: int = 0
    coefficient_bytes: int = 0
    length: int = 0


def read_jpeg(data: bytes) -> JpegHeader:
    """The header of a JPEG; its size is 0x0 if it is incomplete.

    Raises:
        InvalidImage: the JPEG has too many segments or scans, or several frames.
    """
    frame, position, metadata = None, 2, 0
    for _ in range(MAX_SEGMENTS):
        position = data.find(b"\xff", position)
        if position < 0 or position + 4 > len(data):
            break
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        if marker < 0xC0 or 0xD0 <= marker <= 0xD8:  # without content
            position += 2
            continue
        if marker in (START_OF_SCAN, END_OF_IMAGE):
            break
        start = position + 4
        position += 2 + int.from_bytes(data[position + 2 : start])
        if marker in (_TABLES, _PHOTOSHOP) or (marker == _EXIF and data.startswith(b"Exif\0\0", start)):
            metadata += 1
            if metadata > MAX_METADATA_SEGMENTS:
                most = MAX_METADATA_SEGMENTS
                raise InvalidImage(
                    f"the JPEG has more than {most} segments of tables, EXIF or Photoshop data"
                )
        elif marker in _FRAMES:
            if frame is not None:
                raise InvalidImage("the JPEG has more than one frame header")
            frame = marker, data[start:position]
    else:
        raise InvalidImage(f"the JPEG has more than {MAX_SEGMENTS:,} segments")
    if frame is None or len(frame[1]) < 6:
        return JpegHeader()
    return _header(*frame, data, position)


def _header(marker: int, frame: bytes, data: bytes, scan: int) -> JpegHeader:
    height, width, components = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5]), frame[5]
    if components > MAX_COMPONENTS:
        return JpegHeader()
    in_scan = data[scan + 4] if scan + 4 < len(data) else 0
    kept = marker in _PROGRESSIVE or in_scan < components
    if kept:
        check_scans(data, width * height, scan)
    sampling = [max(1, factor) for factor in frame[7 : 7 + 3 * components : 3]]
    coefficients = _coefficient_bytes(width, height, sampling) if kept else 0
    return JpegHeader(width, height, components, coefficients, scan)


def _coefficient_bytes(width: int, height: int, sampling: list[int]) -> int:
    """The bytes of all coefficients; `sampling` has the horizontal and vertical factor of each component."""
    pairs = [(max(1, factor >> 4), max(1, factor & 15)) for factor in sampling]
    widest = max((across for across, _ in pairs), default=1)
    highest = max((down for _, down in pairs), default=1)
    columns, rows = -(-width // (8 * widest)), -(-height // (8 * highest))
    return sum(columns * across * rows * down * 128 for across, down in pairs)


def check_scans(data: bytes, pixels: int, start: int = 2) -> None:
    """
    Raises:
        InvalidImage: the JPEG has too many scans or segments.
    """
    most = MAX_SCANS if pixels <= LARGE_PIXELS else MAX_SCANS_OF_LARGE_IMAGES
    # These bytes begin every scan, but occur also in thumbnails and in what follows the image.
    if data.count(_SCAN) <= most:
        return
    scans = 0
    for _ in range(MAX_SEGMENTS):
        position = _next_segment(data, start)
        if position < 0 or data[position + 1] == END_OF_IMAGE:
            return
        scans += data[position + 1] == START_OF_SCAN
        if scans > most:
            kind = "" if most == MAX_SCANS else f" and {pixels:,} pixels"
            raise InvalidImage(f"the JPEG has more than {most} scans{kind}")
        start = position + 2 + int.from_bytes(data[position + 2 : position + 4])
    raise InvalidImage(f"the JPEG has more than {MAX_SEGMENTS:,} segments")


def _next_segment(data: bytes, start: int) -> int:
    while start < len(data):
        end = start + _SEARCHED_AT_ONCE
        found = _SEGMENT.search(data, start, end + 1)
        if found is not None:
            return found.start()
        start = end
    return -1
