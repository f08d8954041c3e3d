"""The way in: what is done to pixels before the first layer, inside the graph.

Each takes and gives float32 of [batch, height, width, channels]. What comes in lies between 0 and 255.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import keras

INPUT: Final = "pixels"

Preparation = Callable[["keras.KerasTensor"], "keras.KerasTensor"]

# The mean colour of ImageNet's training pictures, from 0 to 255. AlexNet's authors subtract the mean picture,
# which they did not publish; its colour is what those who trained the network again take for it.
IMAGENET_MEAN: Final = (123.68, 116.78, 103.94)

# Below this many grey levels, contrast is noise and is not amplified to the full.
_NOISE = 1.0
_LOCAL_NOISE = 4.0


def rescaled(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """From 0 to 1."""
    return pixels / 255


def centred(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Less the mean colour of ImageNet, from about -124 to 151 (AlexNet, section 2)."""
    return pixels - np.array(IMAGENET_MEAN, np.float32)


def standardised(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Each picture with mean 0 and deviation 1: neither the light nor the contrast of the scene matters."""
    return _standard(pixels, axis=(1, 2, 3))


def colour_balanced(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Each channel of each picture with mean 0 and deviation 1: nor does the colour of the light."""
    return _standard(pixels, axis=(1, 2))


def locally_normalised(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Each pixel against its surroundings of 13x13: mean 0 and deviation 1 there, so that shadows across the
    picture go too (local contrast normalisation, K. Jarrett et al., ICCV 2009, section 2, but with a flat
    window).
    """
    from keras import ops

    level = _surroundings(pixels)
    centred = pixels - level
    variance = ops.mean(_surroundings(ops.square(centred)), axis=-1, keepdims=True)
    return centred / (ops.sqrt(variance) + _LOCAL_NOISE)


def stretched(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Dark and pale parts pressed together and the middle spread, about as histogram equalisation does it
    where grey levels are normally distributed: the hyperbolic tangent of the standardised picture.
    """
    from keras import ops

    return 1.5 * ops.tanh(standardised(pixels))


def from_pixels(
    network: keras.Model, prepare: Preparation = rescaled, name: str | None = None
) -> keras.Model:
    """The same network, sharing its weights, for pixels as they lie in a picture: uint8 from 0 to 255.

    The preparation becomes a part of the graph, so there is nothing to keep equal on the other side.
    """
    from keras import Input, Model, ops

    pixels = Input(shape=network.input_shape[1:], dtype="uint8", name=INPUT)
    return Model(pixels, network(prepare(ops.cast(pixels, "float32"))), name=name or network.name)


def _standard(pixels: keras.KerasTensor, axis: tuple[int, ...]) -> keras.KerasTensor:
    from keras import ops

    centred = pixels - _mean(pixels, axis)
    deviation = ops.sqrt(_mean(ops.square(centred), axis))
    return centred / (deviation + _NOISE)


def _mean(values: keras.KerasTensor, axis: tuple[int, ...]) -> keras.KerasTensor:
    """One axis after the other. ONNX Runtime adds up the thousands of values of two strided axes one by one,
    and what is lost in rounding moved probabilities by 5e-5.
    """
    from keras import ops

    for single in axis:
        values = ops.mean(values, axis=single, keepdims=True)
    return values


def _surroundings(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """The mean of the 13x13 pixels around each, of those there are: along one axis, then along the other."""
    from keras import ops

    for window in ((13, 1), (1, 13)):
        pixels = ops.average_pool(pixels, window, strides=1, padding="same")
    return pixels
