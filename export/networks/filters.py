"""Four fixed kernels of image processing; each turns a greyscale image into a map of the same size.

At the border the outermost pixels are repeated, so that a uniform image has no edges. Maps are not clipped:
the edge map ranges from -2040 to 2040, and the sharpened image exceeds 0 to 255.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

# The largest distance, in pixels, that a kernel reaches.
REACH: Final = 2

KERNELS: Final = {
    "edges": ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)),
    "sharpened": ((-1, -1, -1), (-1, 9, -1), (-1, -1, -1)),
    "gaussian": ((1, 2, 3, 2, 1), (2, 4, 5, 4, 2), (3, 5, 6, 5, 3), (2, 4, 5, 4, 2), (1, 2, 3, 2, 1)),
    "smoothed": ((1, 1, 1), (1, 2, 1), (1, 1, 1)),
}
_BLURS = ("gaussian", "smoothed")


def weights() -> NDArray[np.float32]:
    """Return all kernels as the weights of one convolution, [5, 5, 1, 4]; the blur kernels sum to 1."""
    stacked = np.zeros((2 * REACH + 1, 2 * REACH + 1, 1, len(KERNELS)), np.float32)
    for index, (name, kernel) in enumerate(KERNELS.items()):
        values = np.array(kernel, np.float64)
        if name in _BLURS:
            values /= values.sum()
        edge = REACH - len(values) // 2
        stacked[edge : edge + len(values), edge : edge + len(values), 0, index] = values
    return stacked


def build() -> keras.Model:
    """Build the network, from pixels, [batch, height, width, 1], to maps, [batch, height, width, 4]."""
    from keras import Input, Model, initializers, layers, ops

    images = Input(shape=(None, None, 1))
    x = images
    for _ in range(REACH):  # symmetric padding by one pixel repeats the outermost one
        x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
    maps = layers.Conv2D(
        len(KERNELS),
        2 * REACH + 1,
        use_bias=False,
        kernel_initializer=initializers.Constant(weights()),
        trainable=False,
    )(x)
    return Model(images, maps, name="filters")
