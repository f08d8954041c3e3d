"""Fits a network to a data set: changed pictures on the fly, a checkpoint after every epoch.

What a step sees follows from the seed, the epoch and the step alone, and every variable is in the checkpoint:
a training that goes on after a kill ends with the same weights, bit for bit, as one that was left alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ..datasets.dataset import Examples, Split
from ..errors import DatasetError
from .augment import Augmentation, principal_colours
from .backend import trainer
from .checkpoint import Checkpoint, Curves, State
from .mixed_precision import full_precision, mixed_precision
from .optimizers import Descent

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_METRICS: Final = ("loss", "accuracy", "val_loss", "val_accuracy")
_VALIDATION_BATCH: Final = 256
_COLOUR_SAMPLE: Final = 500


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a network is trained. Its `repr` is a part of what tells one training from another."""

    epochs: int
    batch_size: int
    descent: Descent
    augmentation: Augmentation
    mixed_precision: bool = False


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """Where a training's state is kept, and whether it begins with what is there."""

    checkpoint: Checkpoint
    resume: bool


def train(
    build: Callable[[], keras.Model],
    training: Examples,
    validation: Examples,
    plan: Plan,
    seed: int,
    keeping: Keeping | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: tf.distribute.Strategy | None = None,
) -> tuple[keras.Model, State]:
    """Build a network and fit it: (the network after the last epoch, its state then).

    The seed decides the first weights, the order of the pictures and their changes; on the same machine with
    the same libraries it gives the same weights, bit for bit.

    Raises:
        DatasetError: too many pictures cannot be read.
        CheckpointError: the checkpoint cannot be written, or is not of this training.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()

    batch_size = min(plan.batch_size, len(training))
    steps = len(training) // batch_size
    with strategy.scope() if strategy else nullcontext():
        with mixed_precision() if plan.mixed_precision else nullcontext():
            network = build()
        network.compile(
            plan.descent.optimizer(steps * plan.epochs),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        network.optimizer.build(network.trainable_variables)
        state = keeping.checkpoint.load() if keeping and keeping.resume else None
        if state is not None:
            _restore(network, state)
    keeper = _Keeper(state, keeping)
    done = len(keeper.state.curves)
    if done < plan.epochs:
        try:
            network.fit(
                _batches(training, batch_size, plan, seed, done),
                steps_per_epoch=steps,
                epochs=plan.epochs,
                initial_epoch=done,
                validation_data=_in_order(validation),
                shuffle=False,  # _batches has done it
                verbose=0,
                callbacks=[keeper.callback(), *callbacks],
            )
        except tf.errors.OpError as error:
            _blame_pictures(training, validation, error)
            raise
    return full_precision(network, build) if plan.mixed_precision else network, keeper.state


class _Keeper:
    """Keeps the state of a network after each epoch, in memory and in the checkpoint."""

    def __init__(self, state: State | None, keeping: Keeping | None) -> None:
        self.state = state or State([], Curves(), 0.0, trainer())
        self._keeping = keeping

    def callback(self) -> keras.callbacks.Callback:
        import keras

        began, before = time.monotonic(), self.state
        by = _with(before.trainer, trainer())

        def keep(epoch: int, logs: dict[str, float]) -> None:
            curves = Curves(
                *(
                    (*past, float(logs[name]))
                    for past, name in zip(vars(self.state.curves).values(), _METRICS, strict=True)
                )
            )
            seconds = before.seconds + time.monotonic() - began
            self.state = State(_values(callback.model), curves, seconds, by)
            if self._keeping:
                self._keeping.checkpoint.save(self.state)

        # It asks the callback for the network, for some backends keep variables elsewhere until it is asked.
        callback = keras.callbacks.LambdaCallback(on_epoch_end=keep)
        return callback


def _variables(network: keras.Model) -> list[Any]:
    """All that changes in a training: weights, the states of random generators, those of the optimizer."""
    metrics = {id(variable) for variable in network.metrics_variables}
    own = [variable for variable in network.variables if id(variable) not in metrics]
    rate = network.optimizer._learning_rate  # a schedule: computed from the step
    return [*own, *(variable for variable in network.optimizer.variables if variable is not rate)]


def _values(network: keras.Model) -> list[NDArray[Any]]:
    from keras import ops

    # copies: on the CPU an array may share the variable's memory
    return [ops.convert_to_numpy(ops.copy(variable.value)) for variable in _variables(network)]


def _with(before: str, now: str) -> str:
    """Who has trained a network, where one began and another goes on."""
    return before if now in before.split(", then ") else f"{before}, then {now}"


def _restore(network: keras.Model, state: State) -> None:
    for variable, value in zip(_variables(network), state.values, strict=True):
        variable.assign(value)


def _batches(examples: Examples, batch_size: int, plan: Plan, seed: int, first_epoch: int) -> tf.data.Dataset:
    """Batches of changed pictures and their labels for all epochs from the first, each in its own order."""
    import tensorflow as tf

    steps = len(examples) // batch_size
    read = _reader(examples, fill=True)
    components = tf.constant(_colours(examples, plan.augmentation))

    def order(epoch: tf.Tensor) -> tf.data.Dataset:
        seeds = tf.stack([tf.constant(seed, tf.int64), epoch])
        shuffled = tf.random.experimental.stateless_shuffle(tf.range(len(examples)), seed=seeds)
        batches = tf.data.Dataset.from_tensor_slices(shuffled).batch(batch_size, drop_remainder=True)
        return batches.enumerate(epoch * steps)

    def load(step: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = read(indices)
        seeds = tf.stack([tf.constant(seed, tf.int64), step])
        return plan.augmentation.apply(images, seeds, components), labels

    batches = tf.data.Dataset.range(first_epoch, plan.epochs).flat_map(order)
    return batches.map(load, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _in_order(examples: Examples) -> tf.data.Dataset:
    import tensorflow as tf

    batches = tf.data.Dataset.range(len(examples), output_type=tf.int32).batch(_VALIDATION_BATCH)
    read = _reader(examples, fill=False)
    return batches.map(read, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _reader(examples: Examples, fill: bool) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """From indices to pictures and labels. In place of pictures that cannot be read come others of the same
    batch, if it is to be filled.
    """
    import tensorflow as tf

    if isinstance(examples, Split):
        images, labels = tf.constant(examples.images), tf.constant(examples.labels)
        return lambda indices: (tf.gather(images, indices), tf.gather(labels, indices))

    def read(indices: NDArray[np.int32]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        pixels, kept = examples.read(indices.astype(np.intp))
        if fill and len(kept) < len(indices):
            if not len(kept):
                raise DatasetError("a whole batch of pictures cannot be read")
            rows = np.arange(len(indices)) % len(kept)
            pixels, kept = pixels[rows], kept[rows]
        return pixels, examples.labels[kept]

    def loaded(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels, labels = tf.numpy_function(read, [indices], (tf.uint8, tf.int64), stateful=False)
        count = indices.shape[0] if fill else None
        return tf.ensure_shape(pixels, [count, *examples.shape]), tf.ensure_shape(labels, [count])

    return loaded


def _colours(examples: Examples, augmentation: Augmentation) -> NDArray[np.float32]:
    if not augmentation.colour:
        return np.zeros((3, 3), np.float32)
    count = min(len(examples), _COLOUR_SAMPLE)
    pixels, _ = examples.read(np.arange(count) * len(examples) // count)
    return principal_colours(pixels)


def _blame_pictures(training: Examples, validation: Examples, error: Exception) -> None:
    """What is raised while TensorFlow reads comes out as an error of its own."""
    for examples in (training, validation):
        faults = getattr(examples, "faults", None)
        if faults is not None:
            faults.check()
    if DatasetError.__name__ in str(error):
        raise DatasetError("a whole batch of pictures cannot be read") from error
