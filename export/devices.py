"""TensorFlow itself, and which devices it trains on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import tensorflow as tf


def start_tensorflow() -> None:
    """Import it without its greetings, which are written past Python before anything could be asked of it."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def strategy(report: TextIO) -> tf.distribute.Strategy | None:
    """Every batch shared out evenly over all visible GPUs; None, and a sentence, where there is none."""
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        report.write("no GPU is visible, so --distribute changes nothing: training on the CPU\n")
        return None
    report.write(f"training on {len(gpus)} GPU{'s' if len(gpus) > 1 else ''}\n")
    return tf.distribute.MirroredStrategy([device.name for device in gpus])
