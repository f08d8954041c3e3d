"""LeNet-5 of Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document
recognition, Proceedings of the IEEE 86(11), 1998, section II.B.

This is the common modern variant: C3 is connected to all maps of S2, average pooling has no weights, and a
softmax replaces the radial basis functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import keras

PARAMETERS: Final = 61_706


def parameters(classes: int) -> int:
    """Return the number of trained values, `PARAMETERS` with ten classes."""
    return PARAMETERS + (84 + 1) * (classes - 10)


def build(classes: int = 10) -> keras.Model:
    """Build the untrained network, from [batch, 28, 28, 1] to probabilities, [batch, classes].

    Images are padded to 32x32.
    """
    from keras import Input, Model, layers

    inputs = Input(shape=(28, 28, 1))
    x = layers.ZeroPadding2D(2)(inputs)
    x = layers.Conv2D(filters=6, kernel_size=5, activation="tanh")(x)
    x = layers.AveragePooling2D(pool_size=2)(x)
    x = layers.Conv2D(filters=16, kernel_size=5, activation="tanh")(x)
    x = layers.AveragePooling2D(pool_size=2)(x)
    x = layers.Conv2D(filters=120, kernel_size=5, activation="tanh")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(84, activation="tanh")(x)
    outputs = layers.Dense(classes, activation="softmax", dtype="float32")(x)
    return Model(inputs, outputs, name="lenet5")
