"""Locates and decodes image files, and records unreadable ones."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import UnidentifiedImageError

from ..errors import DatasetError
from ..imaging import decoder
from ..imaging.geometry import Size

__all__ = ["MAX_UNREADABLE", "ImageErrors", "Location", "Size", "decode"]

# A larger fraction of unreadable images is an error.
MAX_UNREADABLE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Location:
    """The location of an image: a file or a part of a file.

    Attributes:
        path: the file.
        name: the name in messages.
        offset: the first byte.
        length: the number of bytes; -1 for the rest of the file.
    """

    path: Path
    name: str
    offset: int = 0
    length: int = -1

    def read(self) -> bytes:
        """Read the bytes.

        Raises:
            DatasetError: the file cannot be read or is too short.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.length)
        except OSError as error:
            raise DatasetError(error.strerror or str(error)) from error
        if self.length >= 0 and len(content) != self.length:
            raise DatasetError("the file is too short")
        return content


@dataclass
class ImageErrors:
    """Unreadable images of a data set; thread-safe.

    Attributes:
        total: the number of images in the data set.
        folder: the folder in messages.
        reasons: the reason for each unreadable image, by name.
    """

    total: int
    folder: str
    reasons: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, name: str, reason: str) -> None:
        """Record an unreadable image.

        Raises:
            DatasetError: more than `MAX_UNREADABLE` of all images are unreadable.
        """
        with self._lock:
            self.reasons[name] = reason
        self.check()

    def check(self) -> None:
        """Check the number of unreadable images.

        Raises:
            DatasetError: more than `MAX_UNREADABLE` of all images are unreadable.
        """
        if len(self.reasons) > self.total * MAX_UNREADABLE:
            raise DatasetError(
                f"{self.folder} is damaged: {len(self.reasons):,} of its {self.total:,} images are "
                f"unreadable so far, the limit is {MAX_UNREADABLE:.0%}: {self._list()}"
            )

    def summary(self) -> str | None:
        """Return one sentence about the unreadable images, or None without any."""
        if not self.reasons:
            return None
        return f"{len(self.reasons):,} of {self.total:,} images in {self.folder} are skipped: {self._list()}"

    def _list(self, max_names: int = 5) -> str:
        with self._lock:
            named = [f"{name} ({reason})" for name, reason in sorted(self.reasons.items())]
        rest = len(named) - max_names
        return ", ".join(named[:max_names]) + (f" and {rest:,} more" if rest > 0 else "")


def decode(content: bytes, size: Size) -> NDArray[np.uint8]:
    """Decode an image file to uint8, [height, width, channels].

    Raises:
        DatasetError: the content is not an image, or damaged.
    """
    try:
        return decoder.decode(content, size)
    except Exception as error:  # Pillow's plugins raise many types for damaged files
        raise DatasetError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return str(error) if isinstance(error, OSError) and str(error) else "damaged"
