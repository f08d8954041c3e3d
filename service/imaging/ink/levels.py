"""Separates ink from paper of any brightness, in any light, by grey-scale morphology."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Grey = NDArray[np.uint8]

# A window must be wider than a stroke; the lighting may change from one window to the next.
WINDOW_SHARE: Final = 1 / 3
# A border this near to the darkest or lightest pixel, as a share of all levels, is the background.
CERTAIN: Final = 0.15
# Paper darker than this is too dark to measure ink on.
DARKEST_PAPER: Final = 16


def level(grey: Grey) -> Grey:
    """The strength of the ink in each pixel, from 0, the paper around it, to 255.

    Dark ink is measured as a share of the light that the paper around it reflects, light ink on a dark
    background as a difference from it.
    """
    window = int(max(grey.shape) * WINDOW_SHARE) | 1
    if not is_on_light(grey, window):
        return grey - _opened(grey, window)
    paper = _closed(grey, window)
    share = grey.astype(np.uint16) * 255 // np.maximum(paper, 1)
    strength = (255 - share).astype(np.uint8)
    strength[paper < DARKEST_PAPER] = 0
    return strength


def is_on_light(grey: Grey, window: int) -> bool:
    """True if the ink is darker than the paper.

    The median of the border tells it, unless a shadow or the edge of the sheet lies there. Then the skewness
    of the image without its lighting tells it: ink is the smaller part, and differs the more from the mean.
    """
    ring = np.concatenate((grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]))
    darkest, lightest = int(grey.min()), int(grey.max())
    background = int(np.partition(ring, len(ring) // 2)[len(ring) // 2])
    place = (background - darkest) / max(1, lightest - darkest)
    if not CERTAIN < place < 1 - CERTAIN:
        return place >= 0.5
    lighting = np.asarray(Image.fromarray(grey).filter(ImageFilter.BoxBlur(window // 2)))
    difference = grey.astype(np.int32) - lighting
    return int((difference * difference * difference).sum(dtype=np.int64)) < 0


def thickened(grey: Grey, reach: int) -> Grey:
    """The image with strokes that reach `reach` pixels farther on each side, and larger by that much."""
    window = 2 * reach + 1
    padded = np.pad(grey, reach)
    return _slid(_slid(padded, window, np.maximum, 0), window, np.maximum, 0)


def _opened(grey: Grey, window: int) -> Grey:
    """A grey opening: removes what is lighter than all around it and narrower than the window."""
    eroded = _slid(_slid(grey, window, np.minimum, 255), window, np.minimum, 255)
    return _slid(_slid(eroded, window, np.maximum, 0), window, np.maximum, 0)


def _closed(grey: Grey, window: int) -> Grey:
    """A grey closing: removes what is darker than all around it and narrower than the window."""
    dilated = _slid(_slid(grey, window, np.maximum, 0), window, np.maximum, 0)
    return _slid(_slid(dilated, window, np.minimum, 255), window, np.minimum, 255)


def _slid(grey: Grey, window: int, extreme: Callable[[Grey, Grey], Any], outside: int) -> Grey:
    """The extreme of each column within a centred window of odd height, transposed.

    Windows of one, two, four and more rows are combined: the steps are the logarithm of the height.
    """
    rows = len(grey)
    padded = np.full((rows + window - 1, grey.shape[1]), outside, np.uint8)
    padded[window // 2 : window // 2 + rows] = grey
    reached = 1
    while 2 * reached <= window:
        padded = extreme(padded[:-reached], padded[reached:])
        reached *= 2
    if reached < window:
        padded = extreme(padded[:rows], padded[window - reached :][:rows])
    return np.ascontiguousarray(padded.T)
