"""Four kernels of image processing, fixed and not learned: each gives a map as large as the grey picture.

At the border the outermost pixels are repeated outwards, so that a flat picture has no edges. Nothing is
clipped: the edge detector's map goes from -2040 to 2040, the sharpened picture beyond black and white.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

# Beyond this many pixels no kernel sees.
REACH: Final = 2

KERNELS: Final = {
    "edges": ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)),
    "sharpened": ((-1, -1, -1), (-1, 9, -1), (-1, -1, -1)),
    "gaussian": ((1, 2, 3, 2, 1), (2, 4, 5, 4, 2), (3, 5, 6, 5, 3), (2, 4, 5, 4, 2), (1, 2, 3, 2, 1)),
    "smoothed": ((1, 1, 1), (1, 2, 1), (1, 1, 1)),
}
_BLURS = ("gaussian", "smoothed")


def weights() -> NDArray[np.float32]:
    """All kernels as one convolution's: [5, 5, 1, 4]. Those that blur sum to one, and so do not darken."""
    stacked = np.zeros((2 * REACH + 1, 2 * REACH + 1, 1, len(KERNELS)), np.float32)
    for place, (name, kernel) in enumerate(KERNELS.items()):
        values = np.array(kernel, np.float64)
        if name in _BLURS:
            values /= values.sum()
        edge = REACH - len(values) // 2
        stacked[edge : edge + len(values), edge : edge + len(values), 0, place] = values
    return stacked


def build() -> keras.Model:
    """The network: pictures of [any height, any width, 1] with values from 0 to 255 in, four maps out."""
    from keras import Input, Model, initializers, layers, ops

    pictures = Input(shape=(None, None, 1))
    x = pictures
    for _ in range(REACH):  # repeating the outermost pixels is mirroring them at the border, one at a time
        x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
    maps = layers.Conv2D(
        len(KERNELS),
        2 * REACH + 1,
        use_bias=False,
        kernel_initializer=initializers.Constant(weights()),
        trainable=False,
    )(x)
    return Model(pictures, maps, name="filters")
