"""Colours of maps: a diverging palette for evidence, and one of rising lightness for amounts.

Both are distinguishable without red and green, and their lightness follows the value.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..request import Map

Pixels = NDArray[np.uint8]

# From evidence against a label (blue) to evidence for it (orange).
_DIVERGING: Final = ((0, 63, 135), (86, 153, 214), (247, 247, 247), (245, 158, 62), (150, 60, 0))
# From nothing to the most, as cividis.
_RISING: Final = ((0, 32, 77), (65, 77, 107), (124, 123, 120), (188, 175, 111), (255, 234, 70))


def diverging(values: Map) -> Pixels:
    """Colours of values between -1 and 1."""
    return _interpolated(_DIVERGING, (np.clip(values, -1, 1) + 1) / 2)


def rising(values: Map) -> Pixels:
    """Colours of values between 0 and 1."""
    return _interpolated(_RISING, np.clip(values, 0, 1))


def _interpolated(colours: tuple[tuple[int, int, int], ...], values: Map) -> Pixels:
    table = np.array(colours, np.float64)
    places = np.linspace(0, 1, len(table))
    channels = [np.interp(values, places, table[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
