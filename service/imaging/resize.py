"""Resizes an image of any size to the model's size."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from ..repository.manifest import InputSpec
from .ink.glyph import WORK_SIDE
from .polarity import Pixels

# Bicubic is sharp in both directions, and without the ringing of Lanczos around strokes. Reducing by whole
# numbers first, down to three times the target, is four times as fast on a photograph. Its pixels differ from
# the exact result by less than one of 255 on average, and single ones on edges by up to 30.
FILTER = Image.Resampling.BICUBIC
REDUCING_GAP = 3.0
DRAFT_SCALES = (8, 4, 2)


class ResizePlan(NamedTuple):
    """The steps that resize an image.

    Attributes:
        size: width and height of the result.
        box: the part of the image that it shows: left, top, right and bottom.
        factor: whole numbers, across and down, by which the image can be reduced first.
    """

    size: tuple[int, int]
    box: tuple[float, float, float, float]
    factor: tuple[int, int]


def draft_scale(size: tuple[int, int], spec: InputSpec) -> int:
    """The scale at which a JPEG is decoded: 1, or 2, 4 or 8 if a part of its size is still large enough.

    The inverse cosine transform of fewer coefficients gives the average of each block of pixels in a fraction
    of the time: a photograph of 12 megapixels is decoded three times as fast. After resizing to 28x28 or
    48x48, the pixels of 62 photographs differ by 0.9 of 255 on average, and by 2.5 in the worst one.
    """
    least = _draft_size(size, spec)
    if least is None:
        return 1
    scale = min(size[0] // least[0], size[1] // least[1])
    return next((known for known in DRAFT_SCALES if scale >= known), 1)


def draft(image: ImageFile.ImageFile, spec: InputSpec) -> None:
    """Make a JPEG decode at a part of its size; see `draft_scale`."""
    if isinstance(image, JpegImageFile) and (least := _draft_size(image.size, spec)) is not None:
        image.draft(None, least)


def _draft_size(size: tuple[int, int], spec: InputSpec) -> tuple[int, int] | None:
    if spec.width is None or spec.height is None or 0 in size:
        return None
    # The longer side counts for both, because EXIF data may rotate the image.
    ink = spec.resize == "ink"
    target = WORK_SIDE if ink else math.ceil(REDUCING_GAP * max(spec.width, spec.height))
    if spec.resize != "fit" and not ink:
        return target, target
    longer = max(size)
    return math.ceil(target * size[0] / longer), math.ceil(target * size[1] / longer)


def resize_plan(source: tuple[int, int], spec: InputSpec, *, turned: bool = False) -> ResizePlan:
    """The plan for an image of this size; `turned` if it lies on its side, and so does the result.

    With the rule `ink` the result is an image in which the glyph is looked for.

    An image that already has the size of `spec` is not changed, nor is any image if that size is dynamic.
    """
    width, height = source
    box = (0.0, 0.0, float(width), float(height))
    if spec.height is None or spec.width is None:
        return ResizePlan(source, box, (1, 1))
    target = (spec.height, spec.width) if turned else (spec.width, spec.height)
    size = target
    if spec.resize == "crop":
        box = _centre_box(source, target)
    elif spec.resize == "fit":
        scale = min(target[0] / width, target[1] / height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
    elif spec.resize == "ink":
        scale = min(1.0, WORK_SIDE / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
    factor = (
        int((box[2] - box[0]) / size[0] / REDUCING_GAP) or 1,
        int((box[3] - box[1]) / size[1] / REDUCING_GAP) or 1,
    )
    return ResizePlan(size, box, factor)


def resize(image: Image.Image, plan: ResizePlan, *, reduced: bool = False) -> Image.Image:
    """The image in the size of `plan`; `reduced` if it has been reduced by the plan's factor."""
    box = plan.box
    if reduced:
        across, down = plan.factor
        box = (box[0] / across, box[1] / down, box[2] / across, box[3] / down)
    if image.size == plan.size and box == (0.0, 0.0, float(image.width), float(image.height)):
        return image
    return image.resize(plan.size, FILTER, box, reducing_gap=REDUCING_GAP)


def _centre_box(size: tuple[int, int], target: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest box of the shape of `target` in the middle of an image of `size`."""
    width, height = size
    if width * target[1] > height * target[0]:
        left, top = (width - height * target[0] / target[1]) / 2, 0.0
    else:
        left, top = 0.0, (height - width * target[1] / target[0]) / 2
    return left, top, width - left, height - top


def as_pixels(image: Image.Image) -> Pixels:
    """The pixels `(height, width, channels)` of an image of mode L or RGB."""
    return as_array(image.tobytes(), image.size, len(image.getbands()))


def as_array(rows: bytes, size: tuple[int, int], channels: int) -> Pixels:
    """The array `(height, width, channels)` of pixels that are stored row by row."""
    width, height = size
    return np.frombuffer(rows, np.uint8).reshape(height, width, channels)
