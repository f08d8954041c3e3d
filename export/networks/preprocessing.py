"""Preprocessing inside the graph, before the first layer.

Each function maps float32 pixels from 0 to 255, [batch, height, width, channels], to float32 of the same
shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import keras

INPUT: Final = "pixels"

Preprocessing = Callable[["keras.KerasTensor"], "keras.KerasTensor"]

# The mean colour of ImageNet's training images, from 0 to 255. AlexNet's authors subtract the mean image,
# which is not published; reimplementations use its mean colour.
IMAGENET_MEAN: Final = (123.68, 116.78, 103.94)

# In grey levels: added to standard deviations, so that noise in uniform images is not amplified.
_NOISE = 1.0
_LOCAL_NOISE = 4.0


def rescaled(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Scale to 0 to 1."""
    return pixels / 255


def centred(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Subtract the mean colour of ImageNet (AlexNet, section 2)."""
    return pixels - np.array(IMAGENET_MEAN, np.float32)


def standardized(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Standardize each image to mean 0 and deviation 1, which removes brightness and contrast."""
    return _standardize(pixels, axis=(1, 2, 3))


def colour_balanced(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Standardize each channel of each image to mean 0 and deviation 1, which removes colour casts too."""
    return _standardize(pixels, axis=(1, 2))


def locally_normalized(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Standardize each pixel by its 13x13 neighbourhood, which also removes shadows.

    Local contrast normalization, K. Jarrett et al., ICCV 2009, section 2, with a uniform window.
    """
    from keras import ops

    level = _local_mean(pixels)
    centred = pixels - level
    variance = ops.mean(_local_mean(ops.square(centred)), axis=-1, keepdims=True)
    return centred / (ops.sqrt(variance) + _LOCAL_NOISE)


def stretched(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Apply the hyperbolic tangent to the standardized image.

    This approximates histogram equalization for normally distributed grey levels.
    """
    from keras import ops

    return 1.5 * ops.tanh(standardized(pixels))


def from_pixels(
    network: keras.Model, preprocess: Preprocessing = rescaled, name: str | None = None
) -> keras.Model:
    """Return a network for uint8 pixels that includes the preprocessing and shares the weights.

    Args:
        network: the network for preprocessed pixels.
        preprocess: the preprocessing.
        name: the name of the new network; None for that of `network`.
    """
    from keras import Input, Model, ops

    pixels = Input(shape=network.input_shape[1:], dtype="uint8", name=INPUT)
    return Model(pixels, network(preprocess(ops.cast(pixels, "float32"))), name=name or network.name)


def _standardize(pixels: keras.KerasTensor, axis: tuple[int, ...]) -> keras.KerasTensor:
    from keras import ops

    centred = pixels - _mean(pixels, axis)
    deviation = ops.sqrt(_mean(ops.square(centred), axis))
    return centred / (deviation + _NOISE)


def _mean(values: keras.KerasTensor, axis: tuple[int, ...]) -> keras.KerasTensor:
    """Average one axis at a time.

    ONNX Runtime sums two strided axes sequentially; the rounding error changed probabilities by 5e-5.
    """
    from keras import ops

    for single in axis:
        values = ops.mean(values, axis=single, keepdims=True)
    return values


def _local_mean(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Return the mean of the 13x13 neighbourhood inside the image, one axis at a time."""
    from keras import ops

    for window in ((13, 1), (1, 13)):
        pixels = ops.average_pool(pixels, window, strides=1, padding="same")
    return pixels
