"""Fits a network to a data set: affine warps on the fly, Adam, a learning rate that falls along a cosine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .augment import Affine
from .datasets import Split

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a network is trained.

    The learning rate begins at `learning_rate` and falls to nothing along half a cosine over all epochs
    (I. Loshchilov, F. Hutter, SGDR, ICLR 2017, section 3, without restarts).
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warp: Affine


@dataclass(frozen=True)
class Curves:
    """One value an epoch: the mean cross-entropy, and the accuracy from 0 to 1.

    Those of training are taken on warped pictures while the weights still move, those of validation on
    pictures as they are, after the epoch: validation may well look better.
    """

    loss: tuple[float, ...]
    accuracy: tuple[float, ...]
    validation_loss: tuple[float, ...]
    validation_accuracy: tuple[float, ...]


def train(
    build: Callable[[], keras.Model],
    training: Split,
    validation: Split,
    plan: Plan,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> tuple[keras.Model, Curves]:
    """Build a network and fit it: (the network after the last epoch, its curves).

    The seed decides the first weights, the order of the pictures and their warps; on the same machine with
    the same libraries it gives the same weights, bit for bit.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()

    network = build()
    batch_size = min(plan.batch_size, len(training))
    steps = len(training) // batch_size
    rate = keras.optimizers.schedules.CosineDecay(plan.learning_rate, decay_steps=steps * plan.epochs)
    network.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = network.fit(
        _batches(training, batch_size, plan.warp, seed),
        steps_per_epoch=steps,
        epochs=plan.epochs,
        validation_data=(validation.images, validation.labels),
        validation_batch_size=500,
        shuffle=False,  # _batches has done it
        verbose=0,
        callbacks=list(callbacks),
    ).history
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    return network, Curves(*(tuple(map(float, history[name])) for name in names))


def _batches(split: Split, batch_size: int, warp: Affine, seed: int) -> tf.data.Dataset:
    """Endless batches of warped pictures and labels, all of the split in another order each time round."""
    import tensorflow as tf

    images, labels = tf.constant(split.images), tf.constant(split.labels)

    def load(step: tf.Tensor, examples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        warps = tf.stack([tf.constant(seed, tf.int64), step])
        return warp.warp(tf.gather(images, examples), warps), tf.gather(labels, examples)

    order = tf.data.Dataset.range(len(split)).shuffle(len(split), seed=seed).repeat()
    batches = order.batch(batch_size, drop_remainder=True).enumerate()
    return batches.map(load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
