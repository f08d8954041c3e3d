"""Finds the background of an image from its border, to tell dark-on-light from light-on-dark."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

# Outside this range a background is certainly dark or light; inside it is compared with the foreground.
DARK, LIGHT = 64, 191

# ITU-R 601-2
LUMA = (0.299, 0.587, 0.114)


def background(pixels: NDArray[Any]) -> NDArray[Any]:
    """The median of the outermost pixels of an image (height, width[, channels]), for each channel.

    Of two middle values it is the upper one, so that it always occurs in the image.
    """
    ring = np.concatenate((pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]))
    middle = len(ring) // 2
    ring.partition(middle, axis=0)
    median: NDArray[Any] = ring[middle]
    return median


def is_light(pixels: Pixels) -> bool:
    """True if the background of an image (height, width, 1 or 3) is lighter than its foreground.

    The background is the median of the border, so strokes that touch the border do not matter. A border near
    black or white decides alone, because a blank image has no foreground to compare with. Any other is light
    if it is above the middle between the darkest and the lightest pixel, as a light background in shade is.
    """
    luma = pixels[..., 0] if pixels.shape[2] == 1 else pixels @ LUMA
    level = float(background(luma))
    if not DARK < level < LIGHT:
        return level >= LIGHT
    return level > (float(luma.min()) + float(luma.max())) / 2


def padded(pixels: Pixels, height: int, width: int) -> Pixels:
    """Centre an image of at most `height` and `width` on a canvas of its background colour."""
    top, left = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
    canvas = np.empty((height, width, pixels.shape[2]), np.uint8)
    canvas[:] = background(pixels)
    canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return canvas
