"""Small networks of Keras that are saved and imported in tests."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from tests.support.images import drawn_signs

SIGNS = ("stop", "no entry", "priority")
SIDE = 64


def draw_signs(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return `count` images of each of the signs, uint8 [images, 64, 64, 3], and their classes."""
    pairs = [(drawn_signs.sign(kind, number, SIDE), kind) for number in range(count) for kind in range(3)]
    return np.stack([image for image, _ in pairs]), np.array([kind for _, kind in pairs])


def small_network() -> keras.Model:
    """Return a network with the layers that Keras's own examples have, in their order."""
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.8)(x)
    x = layers.ReLU()(x)
    shortcut = x
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.8)(x)
    x = layers.Conv2D(16, 1, activation="relu")(x)
    x = layers.Add()([x, shortcut])
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.1)(x)
    return keras.Model(inputs, layers.Dense(len(SIGNS), activation="softmax")(x))


def trained_network(
    images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> tuple[keras.Model, dict[str, Sequence[float]]]:
    """Return the network after a training that ends with every image right, and its history."""
    keras.utils.set_random_seed(1)
    network = small_network()
    network.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = network.fit(images.astype(np.float32), labels, batch_size=15, epochs=12, verbose=0)
    return network, history.history


def channels_first() -> keras.Model:
    first = "channels_first"
    inputs = keras.Input((3, 32, 32))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(8, 3, strides=2, padding="same", data_format=first, activation="relu")(x)
    x = layers.MaxPooling2D(data_format=first)(x)
    x = layers.DepthwiseConv2D(3, data_format=first)(x)
    x = layers.BatchNormalization(axis=1)(x)
    x = layers.GlobalAveragePooling2D(data_format=first, keepdims=True)(x)
    return keras.Model(inputs, layers.Conv2D(3, 1, data_format=first)(x))


def in_16_bits(policy: str) -> keras.Model:
    """Return a network that computes in 16 bits; with the policy float16 its weights have 16 too."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                layers.Rescaling(1 / 255),
                layers.Conv2D(8, 3, activation="relu"),
                layers.BatchNormalization(),
                layers.GlobalAveragePooling2D(),
                layers.Dense(3),
                layers.Activation("softmax", dtype="float32"),
            ]
        )
    finally:
        keras.config.set_dtype_policy(before)


def adapted() -> keras.Model:
    """Return a network with adapted normalisation, augmentation and resizing in nested networks."""
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(1).integers(0, 256, (8, 48, 40, 3)).astype(np.float32))
    augmentation = keras.Sequential([layers.RandomRotation(0.1), layers.RandomZoom(0.1)])
    return keras.Sequential(
        [
            keras.Input((48, 40, 3)),
            augmentation,
            layers.Resizing(32, 32),
            normalization,
            layers.SeparableConv2D(8, 3, padding="same"),
            layers.LeakyReLU(),
            layers.Conv2DTranspose(4, 3, strides=2),
            layers.LayerNormalization(),
            layers.GlobalMaxPooling2D(),
            layers.Dense(3, activation="sigmoid"),
        ]
    )


def transformer() -> keras.Model:
    """Return a network of the functional API with operations, GELU and attention."""
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 8, 8)(inputs / 255)
    x = layers.Activation("gelu")(layers.GroupNormalization(4)(x))
    x = layers.Reshape((16, 8))(x)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    return keras.Model(inputs, keras.ops.softmax(layers.Dense(3)(layers.Flatten()(x))))


def rows() -> keras.Model:
    """Return the first network of Keras's tutorials: grey images without a channel axis, and logits."""
    return keras.Sequential(
        [keras.Input((28, 28)), layers.Flatten(), layers.Dense(16, activation="relu"), layers.Dense(3)]
    )


def two_outputs() -> keras.Model:
    """Return a network for images of any size, with the outputs `kind`, of three classes, and `good`."""
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, activation="relu")(layers.Rescaling(1 / 127.5, offset=-1)(inputs))
    x = layers.GlobalAveragePooling2D()(x)
    kind = layers.Dense(3, activation="softmax", name="kind")(x)
    return keras.Model(inputs, {"kind": kind, "good": layers.Dense(1, activation="sigmoid", name="good")(x)})
