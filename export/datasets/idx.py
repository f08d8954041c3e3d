"""The IDX format of the MNIST files: two zero bytes, the type, the number of axes, their lengths, the values.

Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits, "File formats".
Only unsigned bytes (type 8) are read here.
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
    """The array in an IDX file, plain or gzipped.

    Raises:
        DatasetError: the file cannot be read, is of another kind, has another number of axes, or holds fewer
            or more values than its header says.
    """
    content = _content(path)
    length = 4 + 4 * axes
    if content[:4] != bytes([0, 0, _UNSIGNED_BYTE, axes]):
        raise DatasetError(
            f"{path} is not an IDX file of unsigned bytes with {axes} axes: "
            f"it begins with {content[:4].hex(' ') or 'nothing'}, not with 00 00 08 {axes:02x}"
        )
    if len(content) < length:
        raise DatasetError(f"{path} is truncated: it ends within its header, after {len(content)} bytes")
    shape = struct.unpack(f">{axes}I", content[4:length])
    expected = length + int(np.prod(shape, dtype=np.uint64))
    if len(content) != expected:
        fault = "is truncated" if len(content) < expected else "has bytes left over"
        raise DatasetError(
            f"{path} {fault}: its header announces {' x '.join(map(str, shape))} values, "
            f"which makes {expected} bytes, and it has {len(content)}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=length).reshape(shape)


def encode(array: NDArray[np.uint8]) -> bytes:
    """The uncompressed IDX file of an array."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, _UNSIGNED_BYTE, array.ndim, *array.shape)
    return header + array.tobytes()


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content
    except EOFError:
        raise DatasetError(f"{path} is truncated: its compressed content ends too early") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error
