"""Arithmetic of 16 bits in training, networks of 32 bits out of it, and weights that 16 bits can say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras


@contextmanager
def mixed_precision() -> Iterator[None]:
    """Layers built inside multiply in 16 bits (float16 on a GPU, else bfloat16) and keep weights of 32."""
    import keras
    import tensorflow as tf

    before = keras.config.dtype_policy()
    gpu = bool(tf.config.list_physical_devices("GPU"))
    keras.config.set_dtype_policy("mixed_float16" if gpu else "mixed_bfloat16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def full_precision(network: keras.Model, build: Callable[[], keras.Model]) -> keras.Model:
    """The same network with the same weights, in 32 bits throughout."""
    full = build()
    full.set_weights(network.get_weights())
    return full


def round_to_half(network: keras.Model) -> None:
    """Make each weight the nearest number of float16, so that the file needs half the room.

    The network goes on to compute in 32 bits. A weight changes by a two-thousandth of itself at the most.
    """
    network.set_weights([weight.astype(np.float16).astype(np.float32) for weight in network.get_weights()])
