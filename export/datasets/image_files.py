"""Locates and decodes image files, and records unreadable ones.

Images are resized exactly as in the server, so that training and serving see the same pixels: bicubic, after
a reduction by an integer factor to no less than three times the target size.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import DatasetError
from ..repository.io_spec import InputSpec

# A larger fraction of unreadable images is an error.
MAX_UNREADABLE: Final = 0.01

_FILTER = Image.Resampling.BICUBIC
_REDUCING_GAP = 3.0


@dataclass(frozen=True)
class Size:
    """The size that images are decoded to.

    Attributes:
        height, width, channels: the shape of the result; channels is 1 or 3.
        resize: "crop" keeps the aspect ratio and the centre; the other rules ignore the aspect ratio here.
    """

    height: int
    width: int
    channels: int
    resize: Literal["fit", "stretch", "crop", "ink"]

    @classmethod
    def of(cls, spec: InputSpec) -> Self:
        """Return the size of a graph's input, whose height and width must be fixed."""
        assert spec.height is not None
        assert spec.width is not None
        return cls(spec.height, spec.width, spec.channels, spec.resize)


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
    image = open_image(content, size.channels)
    return np.asarray(_resize(image, size)).reshape(size.height, size.width, size.channels)


def open_image(content: bytes, channels: int) -> Image.Image:
    """Decode an image file in its own size to mode L or RGB, upright.

    Raises:
        DatasetError: the content is not an image, or damaged.
    """
    try:
        with Image.open(io.BytesIO(content)) as opened:
            upright = ImageOps.exif_transpose(opened)
            return _convert_mode(upright, "L" if channels == 1 else "RGB")
    except Exception as error:  # Pillow's plugins raise many types for damaged files
        raise DatasetError(_reason(error)) from error


def _convert_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert the mode, with transparent pixels over white, as in the server."""
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGB", layer.size, (255, 255, 255))
        image.paste(layer, mask=layer)
    return image.convert(mode)


def _resize(image: Image.Image, size: Size) -> Image.Image:
    target = size.width, size.height
    if image.size == target:
        return image
    box = _centre_crop(image.size, target) if size.resize == "crop" else None
    return image.resize(target, _FILTER, box, reducing_gap=_REDUCING_GAP)


def _centre_crop(size: Sequence[int], target: Sequence[int]) -> tuple[float, float, float, float]:
    """Return the largest centred box with the aspect ratio of the target."""
    width, height = size
    scale = min(width / target[0], height / target[1])
    left, top = (width - target[0] * scale) / 2, (height - target[1] * scale) / 2
    return left, top, width - left, height - top


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return str(error) if isinstance(error, OSError) and str(error) else "damaged"
