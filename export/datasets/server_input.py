"""Prepares images for a published graph in the same way as the server.

`service/imaging` has the same rules; the two programs share no code. tests/contract compares their results.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..repository.io_spec import InputSpec

Pixels = NDArray[np.uint8]

_FILTER: Final = Image.Resampling.BICUBIC
_REDUCING_GAP: Final = 3.0

# Outside of this range the border decides alone if an image is dark on light.
_DARK: Final = 64
_LIGHT: Final = 191
_LUMA: Final = (0.299, 0.587, 0.114)  # ITU-R 601-2


def prepare(image: Image.Image, spec: InputSpec) -> Pixels:
    """Return the pixels that the graph sees, uint8 [height, width, channels], in the size of `spec`.

    Args:
        image: an upright image in mode L or RGB, as `spec` requires.
        spec: the input of the graph; its size must be fixed.
    """
    assert spec.width is not None
    assert spec.height is not None
    if image.size == (spec.width, spec.height):
        pixels = _pixels(image)
    elif spec.resize == "crop":
        box = _centre_box(image.size, (spec.width, spec.height))
        pixels = _pixels(_resized(image, (spec.width, spec.height), box))
    elif spec.resize == "fit":
        scale = min(spec.width / image.width, spec.height / image.height)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        pixels = _padded(_pixels(_resized(image, size)), spec.height, spec.width)
    else:
        pixels = _pixels(_resized(image, (spec.width, spec.height)))
    if spec.polarity and _is_light(pixels) == (spec.polarity == "light-on-dark"):
        pixels = 255 - pixels
    return pixels


def as_input(pixels: Pixels, spec: InputSpec) -> NDArray[Any]:
    """Convert prepared images, [images, height, width, channels], to the dtype and layout of a graph."""
    values: NDArray[Any] = pixels
    if spec.layout == "NCHW":
        values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
    if spec.dtype == "uint8":
        return values
    channelwise = (-1,) if spec.layout == "NHWC" else (-1, 1, 1)
    values = values.astype(np.float32)
    if spec.scale is not None:
        values *= np.float32(spec.scale)
    if spec.mean is not None:
        values -= np.array(spec.mean, np.float32).reshape(channelwise)
    if spec.std is not None:
        values /= np.array(spec.std, np.float32).reshape(channelwise)
    return values


def _resized(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    return image.resize(size, _FILTER, box, reducing_gap=_REDUCING_GAP)


def _pixels(image: Image.Image) -> Pixels:
    return np.asarray(image).reshape(image.height, image.width, -1)


def _centre_box(size: tuple[int, int], target: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the largest centred box with the aspect ratio of `target`."""
    width, height = size
    if width * target[1] > height * target[0]:
        left, top = (width - height * target[0] / target[1]) / 2, 0.0
    else:
        left, top = 0.0, (height - width * target[1] / target[0]) / 2
    return left, top, width - left, height - top


def _background(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the median of the outermost pixels for each channel; the upper one of two middle values."""
    ring = np.concatenate((pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]))
    middle = len(ring) // 2
    ring.partition(middle, axis=0)
    median: NDArray[Any] = ring[middle]
    return median


def _is_light(pixels: Pixels) -> bool:
    """Return True if the background is lighter than the foreground."""
    luma = pixels[..., 0] if pixels.shape[2] == 1 else pixels @ _LUMA
    level = float(_background(luma))
    if not _DARK < level < _LIGHT:
        return level >= _LIGHT
    return level > (float(luma.min()) + float(luma.max())) / 2


def _padded(pixels: Pixels, height: int, width: int) -> Pixels:
    top, left = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
    canvas = np.empty((height, width, pixels.shape[2]), np.uint8)
    canvas[:] = _background(pixels)
    canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return canvas
