"""Mixed-precision training, and conversion of its result to float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras


@contextmanager
def mixed_precision() -> Iterator[None]:
    """Make layers built inside compute in float16 (on a GPU) or bfloat16, with float32 weights."""
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
    """Rebuild a network outside of `mixed_precision`, with the same weights, to compute in float32."""
    full = build()
    full.set_weights(network.get_weights())
    return full


def round_to_float16(network: keras.Model) -> None:
    """Round each weight to the nearest float16 number, so that it can be stored in half the space.

    The network still computes in float32. A weight changes by at most 1/2000 of its value.
    """
    network.set_weights([weight.astype(np.float16).astype(np.float32) for weight in network.get_weights()])
