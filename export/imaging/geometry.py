"""Resizes images of any size to the size of the model's input, by the rules of the server."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Self

from PIL import Image

from ..repository.io_spec import InputSpec
from .ink.glyph import WORK_SIDE

# Bicubic, after a reduction by whole numbers to no less than three times the target.
_FILTER: Final = Image.Resampling.BICUBIC
_GAP: Final = 3.0


@dataclass(frozen=True)
class Size:
    """The size that images are decoded to.

    Attributes:
        height, width, channels: the shape of the result; channels is 1 or 3.
        resize: "fit" keeps the aspect ratio and pads with the background, "stretch" ignores it, "crop" keeps
            it and the centre, "ink" finds one glyph and draws it in the middle.
        polarity: the polarity of the result; None keeps that of the image.
    """

    height: int
    width: int
    channels: int
    resize: Literal["fit", "stretch", "crop", "ink"]
    polarity: Literal["light-on-dark", "dark-on-light"] | None = None

    @classmethod
    def of(cls, spec: InputSpec) -> Self:
        """Return the size of a graph's input, whose height and width must be fixed."""
        assert spec.height is not None
        assert spec.width is not None
        return cls(spec.height, spec.width, spec.channels, spec.resize, spec.polarity)


class Plan(NamedTuple):
    """The steps that resize an image.

    Attributes:
        size: width and height of the result.
        box: the part of the image that it shows: left, top, right and bottom.
        factor: whole numbers, across and down, by which the image can be reduced first.
    """

    size: tuple[int, int]
    box: tuple[float, float, float, float]
    factor: tuple[int, int]


def draft_size(source: tuple[int, int], size: Size) -> tuple[int, int]:
    """The least size at which a JPEG may be decoded; the longer side counts for both: it may be rotated."""
    target = WORK_SIDE if size.resize == "ink" else math.ceil(_GAP * max(size.width, size.height))
    if size.resize not in ("fit", "ink"):
        return target, target
    return math.ceil(target * source[0] / max(source)), math.ceil(target * source[1] / max(source))


def plan_of(source: tuple[int, int], size: Size, *, turned: bool = False) -> Plan:
    """The plan for an image of this size; `turned` if it lies on its side, and so does the result."""
    width, height = source
    box = (0.0, 0.0, float(width), float(height))
    target = (size.height, size.width) if turned else (size.width, size.height)
    wanted = target
    if size.resize == "crop":
        left = top = 0.0
        if width * target[1] > height * target[0]:
            left = (width - height * target[0] / target[1]) / 2
        else:
            top = (height - width * target[1] / target[0]) / 2
        box = left, top, width - left, height - top
    elif size.resize == "fit":
        scale = min(target[0] / width, target[1] / height)
        wanted = max(1, round(width * scale)), max(1, round(height * scale))
    elif size.resize == "ink" and source != target:
        scale = min(1.0, WORK_SIDE / max(source))
        wanted = max(1, round(width * scale)), max(1, round(height * scale))
    factor = (
        int((box[2] - box[0]) / wanted[0] / _GAP) or 1,
        int((box[3] - box[1]) / wanted[1] / _GAP) or 1,
    )
    return Plan(wanted, box, factor)


def resized(image: Image.Image, plan: Plan, *, reduce_first: bool = False) -> Image.Image:
    """The image in the size of the plan; `reduce_first` reduces it from its first pixel, not from the box."""
    left, top, right, bottom = plan.box
    if reduce_first and plan.factor != (1, 1):
        across, down = plan.factor
        image = image.reduce(plan.factor)
        left, top, right, bottom = left / across, top / down, right / across, bottom / down
    if image.size == plan.size and (left, top, right, bottom) == (0, 0, *image.size):
        return image
    return image.resize(plan.size, _FILTER, (left, top, right, bottom), reducing_gap=_GAP)
