"""Picture files of a data set: where they lie, how they are decoded, and which of them cannot be.

Sizes are made exactly as the server makes them, so that a network is trained on what it will be served:
bicubic, reducing by whole numbers first while three times the target remains.
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

# The part of a data set that may be unreadable before it counts as damaged.
TOLERATED: Final = 0.01

_FILTER = Image.Resampling.BICUBIC
_REDUCING_GAP = 3.0


@dataclass(frozen=True)
class Size:
    """What a picture is made into. "stretch" ignores its shape, "crop" fills and cuts the middle."""

    height: int
    width: int
    channels: int
    resize: Literal["fit", "stretch", "crop"]

    @classmethod
    def of(cls, spec: InputSpec) -> Self:
        """What the graph with this input takes, whose height and width are not free."""
        assert spec.height is not None
        assert spec.width is not None
        return cls(spec.height, spec.width, spec.channels, spec.resize)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a picture's bytes lie: a file, or a part of one. `name` is how it is called in a message."""

    path: Path
    name: str
    offset: int = 0
    length: int = -1

    def read(self) -> bytes:
        """Raises DatasetError where the file cannot be read or ends too early."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.length)
        except OSError as error:
            raise DatasetError(error.strerror or str(error)) from error
        if self.length >= 0 and len(content) != self.length:
            raise DatasetError("it ends too early")
        return content


@dataclass
class Faults:
    """The pictures out of `total` that could not be read, by name, with the reason of each."""

    total: int
    where: str
    names: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, name: str, reason: str) -> None:
        """Raises DatasetError when more than `TOLERATED` of all are unreadable."""
        with self._lock:
            self.names[name] = reason
        self.check()

    def check(self) -> None:
        """Raises DatasetError when more than `TOLERATED` of all are unreadable."""
        if len(self.names) > self.total * TOLERATED:
            raise DatasetError(
                f"{self.where} is damaged: {len(self.names):,} of its {self.total:,} pictures cannot be read "
                f"so far, and {TOLERATED:.0%} is allowed; {self._some()}"
            )

    def told(self) -> str | None:
        """One sentence that names them, or None where there are none."""
        if not self.names:
            return None
        return f"{len(self.names):,} of {self.total:,} pictures in {self.where} are skipped: {self._some()}"

    def _some(self, most: int = 5) -> str:
        with self._lock:
            named = [f"{name} ({reason})" for name, reason in sorted(self.names.items())]
        rest = len(named) - most
        return ", ".join(named[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def decode(content: bytes, size: Size) -> NDArray[np.uint8]:
    """A picture's file as uint8 of [height, width, channels].

    Raises:
        DatasetError: it is none, or damaged.
    """
    try:
        with Image.open(io.BytesIO(content)) as opened:
            upright = ImageOps.exif_transpose(opened)
            image = _coloured(upright, "L" if size.channels == 1 else "RGB")
    except Exception as error:  # Pillow's plugins raise a dozen kinds on damaged bytes
        raise DatasetError(_reason(error)) from error
    return np.asarray(_sized(image, size)).reshape(size.height, size.width, size.channels)


def _coloured(image: Image.Image, mode: str) -> Image.Image:
    """What is transparent lies over white, as it does when it is served."""
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGB", layer.size, (255, 255, 255))
        image.paste(layer, mask=layer)
    return image.convert(mode)


def _sized(image: Image.Image, size: Size) -> Image.Image:
    target = size.width, size.height
    if image.size == target:
        return image
    box = _centre(image.size, target) if size.resize == "crop" else None
    return image.resize(target, _FILTER, box, reducing_gap=_REDUCING_GAP)


def _centre(size: Sequence[int], target: Sequence[int]) -> tuple[float, float, float, float]:
    """The largest box of the target's shape in the middle of a picture."""
    width, height = size
    shape = min(width / target[0], height / target[1])
    left, top = (width - target[0] * shape) / 2, (height - target[1] * shape) / 2
    return left, top, width - left, height - top


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    return str(error) if isinstance(error, OSError) and str(error) else "damaged"
