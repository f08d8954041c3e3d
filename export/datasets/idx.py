"""Reads and writes the IDX format of the MNIST files, for unsigned bytes only.

The format is two zero bytes, the type, the number of axes, their lengths and the values (Y. LeCun, C. Cortes,
C. Burges, The MNIST database of handwritten digits, "File formats").
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError

_UNSIGNED_BYTE = 8
_GZIP_MAGIC = b"\x1f\x8b"


def read(path: Path, axes: int) -> NDArray[np.uint8]:
    """Read an IDX file, plain or gzipped, with this number of axes.

    Raises:
        DatasetError: the file cannot be read, has another format or number of axes, or contains fewer or more
            values than its header states.
    """
    content = _content(path)
    length = 4 + 4 * axes
    if content[:4] != bytes([0, 0, _UNSIGNED_BYTE, axes]):
        raise DatasetError(
            f"{path} is not an IDX file of unsigned bytes with {axes} axes: "
            f"it starts with {content[:4].hex(' ') or 'nothing'}, expected 00 00 08 {axes:02x}"
        )
    if len(content) < length:
        raise DatasetError(f"{path} is truncated: its header ends after {len(content)} bytes")
    shape = struct.unpack(f">{axes}I", content[4:length])
    expected = length + int(np.prod(shape, dtype=np.uint64))
    if len(content) != expected:
        problem = "is truncated" if len(content) < expected else "has extra bytes"
        raise DatasetError(
            f"{path} {problem}: its header states {' x '.join(map(str, shape))} values, "
            f"which is {expected} bytes, but it has {len(content)}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=length).reshape(shape)


def encode(array: NDArray[np.uint8]) -> bytes:
    """Return an array as an uncompressed IDX file."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, _UNSIGNED_BYTE, array.ndim, *array.shape)
    return header + array.tobytes()


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content
    except EOFError:
        raise DatasetError(f"{path} is truncated: the compressed data is incomplete") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error
