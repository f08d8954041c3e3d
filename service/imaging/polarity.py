"""What is paper and what is ink in the pixels of a picture, told by its border."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

# Beyond these the colour of paper is certain; between them paper and ink are told apart by comparison.
DARK, LIGHT = 64, 191

# ITU-R 601-2
LUMA = (0.299, 0.587, 0.114)


def background(pixels: NDArray[Any]) -> NDArray[Any]:
    """The median of the outermost ring of a picture (height, width[, channels]): a value a channel.

    It is the upper of two, so that it always is a value that occurs.
    """
    ring = np.concatenate((pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]))
    middle = len(ring) // 2
    ring.partition(middle, axis=0)
    median: NDArray[Any] = ring[middle]
    return median


def is_light(pixels: Pixels) -> bool:
    """Whether the border of a picture (height, width, 1 or 3), which is paper, is lighter than its ink.

    The median does not mind ink that touches the border. A border near black or white is taken for what it
    is, as a blank sheet has no ink to compare it with. Any other is light if it is above the middle between
    the darkest and the lightest pixel, so that paper in the shade counts as light beside its ink.
    """
    luma = pixels[..., 0] if pixels.shape[2] == 1 else pixels @ LUMA
    paper = float(background(luma))
    if not DARK < paper < LIGHT:
        return paper >= LIGHT
    return paper > (float(luma.min()) + float(luma.max())) / 2


def padded(pixels: Pixels, height: int, width: int) -> Pixels:
    """A picture, no larger than `height` and `width`, in the middle of a sheet of its own background."""
    top, left = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
    sheet = np.empty((height, width, pixels.shape[2]), np.uint8)
    sheet[:] = background(pixels)
    sheet[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return sheet
