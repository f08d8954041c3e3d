"""The convnet of F. Chollet, Deep Learning with Python, 2nd edition (Manning, 2021), Listing 8.1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import keras

PARAMETERS: Final = 104_202


def parameters(classes: int) -> int:
    """Return the number of trained values, `PARAMETERS` with ten classes."""
    return PARAMETERS + (1152 + 1) * (classes - 10)


def build(classes: int = 10) -> keras.Model:
    """Build the untrained network, from [batch, 28, 28, 1] to probabilities, [batch, classes]."""
    from keras import Input, Model, layers

    inputs = Input(shape=(28, 28, 1))
    x = layers.Conv2D(filters=32, kernel_size=3, activation="relu")(inputs)
    x = layers.MaxPooling2D(pool_size=2)(x)
    x = layers.Conv2D(filters=64, kernel_size=3, activation="relu")(x)
    x = layers.MaxPooling2D(pool_size=2)(x)
    x = layers.Conv2D(filters=128, kernel_size=3, activation="relu")(x)
    x = layers.Flatten()(x)
    outputs = layers.Dense(classes, activation="softmax", dtype="float32")(x)
    return Model(inputs, outputs, name="convnet")
