"""Finds the orientation of an image in its metadata, in bounded time and without copies."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

# Keys of Pillow's `info` that may contain an orientation.
ORIENTATION_KEYS = frozenset({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"})
# Cameras write about fifty fields.
MAX_FIELDS = 1000
MAX_TEXT = 1 << 20

_TAG = 0x0112
_CODES = {1: "B", 3: "H", 4: "L"}  # BYTE, SHORT, LONG
_XMP = re.compile(rb"tiff:Orientation(?:=\"|>)([0-9])")
_PREFIX = b"Exif\0\0"


def read_orientation(info: Mapping[Any, Any]) -> int | None:
    """The EXIF orientation, 1 to 8 if it is valid; None if there is none, or the metadata is damaged."""
    try:
        found = _in_exif(_exif(info))
    except (struct.error, ValueError):
        return None
    return _in_xmp(info) if found is None else found


def _exif(info: Mapping[Any, Any]) -> bytes:
    exif = info.get("exif")
    if isinstance(exif, bytes):
        return exif
    lines = str(info.get("Raw profile type exif", ""))[:MAX_TEXT].split("\n")[3:]
    digits = "".join(lines)
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


def _in_exif(exif: bytes) -> int | None:
    start = 0
    while exif.startswith(_PREFIX, start) and start <= len(_PREFIX):
        start += len(_PREFIX)
    if start >= len(exif):
        return None
    order = "<" if exif.startswith(b"II", start) else ">"
    (offset,) = struct.unpack_from(order + "L", exif, start + 4)
    (fields,) = struct.unpack_from(order + "H", exif, start + offset)
    first = start + offset + 2
    entries = memoryview(exif)[first : first + min(fields, MAX_FIELDS) * 12]
    for tag, kind, count, value in struct.iter_unpack(order + "HHL4s", entries[: len(entries) // 12 * 12]):
        if tag == _TAG:
            code = _CODES.get(kind)
            return None if code is None or count != 1 else int(struct.unpack_from(order + code, value)[0])
    return None


def _in_xmp(info: Mapping[Any, Any]) -> int | None:
    xmp = info.get("XML:com.adobe.xmp") or info.get("xmp") or b""
    xmp = xmp[:MAX_TEXT]
    found = _XMP.search(xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp)
    return None if found is None else int(found[1])
