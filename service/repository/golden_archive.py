"""Reads the arrays of a golden.npz, whose size is checked before anything is inflated.

A kilobyte of such an archive can inflate to a megabyte, and its directory can name a million files.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import IO, Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from ..system.regular_files import open_regular

# Of both arrays together: four float32 images of 2,048x2,048 pixels are 192 MiB.
MAX_GOLDEN_BYTES = 256 << 20
_MAX_DIRECTORY_BYTES: Final = 64 << 10
_MAX_ARCHIVE_BYTES: Final = MAX_GOLDEN_BYTES + (1 << 20)

# The end of a ZIP file: signature, four numbers of disks and entries, size and position of the directory, and
# the size of a comment.
_END: Final = Struct("<4s4H2LH")
_END_SIGNATURE: Final = b"PK\x05\x06"
# In front of it, if there is a second directory of 64-bit numbers.
_LOCATOR_64_SIGNATURE: Final = b"PK\x06\x07"
_LOCATOR_64_BYTES: Final = 20


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """The type and shape of an array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}{self.shape}"


class GoldenArchive:
    """An open archive of arrays."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def header(self, name: str) -> ArrayHeader:
        """The header of an array, without its numbers."""
        with self._open(name) as file:
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            elif version == (2, 0):
                shape, _, dtype = np.lib.format.read_array_header_2_0(file)
            else:
                raise ValueError(f"array {name} has the format {version}")
        return ArrayHeader(dtype, shape)

    def read(self, name: str) -> NDArray[Any]:
        """An array; the caller has checked its header."""
        with self._open(name) as file:
            array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array

    def _open(self, name: str) -> IO[bytes]:
        entry = self._archive.getinfo(f"{name}.npy")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # LZMA allocates a dictionary of the size that the entry states.
            raise ValueError(f"array {name} is compressed with method {entry.compress_type}")
        return self._archive.open(entry)


@contextmanager
def golden_archive(path: Path) -> Iterator[GoldenArchive]:
    """Open an archive; raises errors of many types if it is damaged."""
    with open_regular(path, _MAX_ARCHIVE_BYTES) as file:
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            yield GoldenArchive(archive)


def _check_directory(file: BinaryIO) -> None:
    """Check the size of the directory, of which zipfile makes an object an entry."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END.size - _LOCATOR_64_BYTES))
    locator, end = (tail := file.read())[: -_END.size], tail[-_END.size :]
    if not end.startswith(_END_SIGNATURE) or len(end) < _END.size or _END.unpack(end)[-1]:
        raise ValueError("it is not a ZIP file without a comment")
    # A 64-bit directory is for more than 65,535 entries or 4 GiB.
    if _END.unpack(end)[5] > _MAX_DIRECTORY_BYTES or locator.startswith(_LOCATOR_64_SIGNATURE):
        raise ValueError(f"its directory is larger than {_MAX_DIRECTORY_BYTES:,} bytes")
