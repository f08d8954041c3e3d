"""The way in, the same for every network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import keras


INPUT: Final = "pixels"


def from_pixels(network: keras.Model) -> keras.Model:
    """The same network, sharing its weights, for pixels as they lie in a picture: uint8 from 0 to 255.

    The rescaling becomes a part of the graph, so there is nothing to keep equal on the other side.
    """
    from keras import Input, Model, ops

    pixels = Input(shape=network.input_shape[1:], dtype="uint8", name=INPUT)
    return Model(pixels, network(ops.cast(pixels, "float32") / 255), name=network.name)
