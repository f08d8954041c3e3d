"""Trains a network, with augmentation on the fly and a checkpoint after each epoch.

The data of a step depends only on the seed, the epoch and the step, and checkpoints contain all variables. A
resumed training therefore ends with the same weights, bit for bit, as an uninterrupted one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ..datasets.dataset import Examples, InMemoryExamples
from ..errors import DatasetError
from .augment import Augmentation, principal_colours
from .backend import trainer_name
from .checkpoint import Checkpoint, Curves, TrainingState
from .mixed_precision import full_precision, mixed_precision
from .optimizers import OptimizerConfig

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_METRICS: Final = ("loss", "accuracy", "val_loss", "val_accuracy")
_VALIDATION_BATCH: Final = 256
_COLOUR_SAMPLE: Final = 500


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """The hyperparameters of a training. The `repr` is part of the fingerprint of checkpoints."""

    epochs: int
    batch_size: int
    optimizer: OptimizerConfig
    augmentation: Augmentation
    mixed_precision: bool = False


@dataclass(frozen=True, kw_only=True)
class Checkpointing:
    """The checkpoint of a training; `resume` continues from its state."""

    checkpoint: Checkpoint
    resume: bool


def train(
    build: Callable[[], keras.Model],
    training: Examples,
    validation: Examples,
    plan: TrainingPlan,
    seed: int,
    checkpointing: Checkpointing | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: tf.distribute.Strategy | None = None,
) -> tuple[keras.Model, TrainingState]:
    """Build and train a network.

    The seed determines the initial weights, the order of the images and their augmentation. On the same
    machine with the same libraries, it gives the same weights, bit for bit.

    Args:
        build: builds the untrained network; takes uint8 pixels.
        training: the examples to train on.
        validation: the examples to validate on after each epoch.
        plan: the hyperparameters.
        seed: the random seed.
        checkpointing: saves the state after each epoch; None keeps it in memory only.
        callbacks: further Keras callbacks.
        strategy: distributes each batch over several GPUs.

    Returns:
        The network after the last epoch, which computes in float32, and its state.

    Raises:
        DatasetError: too many images cannot be read.
        CheckpointError: the checkpoint cannot be read or written, or belongs to another training.
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
            plan.optimizer.build(steps * plan.epochs),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        network.optimizer.build(network.trainable_variables)
        state = checkpointing.checkpoint.load() if checkpointing and checkpointing.resume else None
        if state is not None:
            _set_variables(network, state)
    recorder = _StateRecorder(state, checkpointing)
    completed = len(recorder.state.curves)
    if completed < plan.epochs:
        try:
            network.fit(
                _training_batches(training, batch_size, plan, seed, completed),
                steps_per_epoch=steps,
                epochs=plan.epochs,
                initial_epoch=completed,
                validation_data=_validation_batches(validation),
                shuffle=False,  # _training_batches shuffles
                verbose=0,
                callbacks=[recorder.callback(), *callbacks],
            )
        except tf.errors.OpError as error:
            _raise_image_errors(training, validation, error)
            raise
    return full_precision(network, build) if plan.mixed_precision else network, recorder.state


class _StateRecorder:
    """Records the state after each epoch, in memory and in the checkpoint."""

    def __init__(self, state: TrainingState | None, checkpointing: Checkpointing | None) -> None:
        self.state = state or TrainingState([], Curves(), 0.0, trainer_name())
        self._checkpointing = checkpointing

    def callback(self) -> keras.callbacks.Callback:
        import keras

        started, initial = time.monotonic(), self.state
        trainer = _append_trainer(initial.trainer, trainer_name())

        def record(epoch: int, logs: dict[str, float]) -> None:
            curves = Curves(
                *(
                    (*values, float(logs[name]))
                    for values, name in zip(vars(self.state.curves).values(), _METRICS, strict=True)
                )
            )
            seconds = initial.seconds + time.monotonic() - started
            self.state = TrainingState(_values(callback.model), curves, seconds, trainer)
            if self._checkpointing:
                self._checkpointing.checkpoint.save(self.state)

        # `callback.model` writes back the variables that the JAX backend keeps elsewhere during `fit`.
        callback = keras.callbacks.LambdaCallback(on_epoch_end=record)
        return callback


def _variables(network: keras.Model) -> list[Any]:
    """Return all variables of a training: weights, random generators and the optimizer."""
    metrics = {id(variable) for variable in network.metrics_variables}
    own = [variable for variable in network.variables if id(variable) not in metrics]
    return [*own, *_optimizer_variables(network.optimizer)]


def _optimizer_variables(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    # With a schedule, the learning rate is computed from the step and must not be restored. It is one of the
    # optimizer's variables, but no public attribute identifies it, so this reads a private one of Keras.
    learning_rate = optimizer._learning_rate
    return [variable for variable in optimizer.variables if variable is not learning_rate]


def _values(network: keras.Model) -> list[NDArray[Any]]:
    from keras import ops

    # copies: on the CPU an array may share the variable's memory
    return [ops.convert_to_numpy(ops.copy(variable.value)) for variable in _variables(network)]


def _append_trainer(recorded: str, current: str) -> str:
    """Add the current trainer to the recorded ones, unless it is among them."""
    return recorded if current in recorded.split(", then ") else f"{recorded}, then {current}"


def _set_variables(network: keras.Model, state: TrainingState) -> None:
    for variable, value in zip(_variables(network), state.values, strict=True):
        variable.assign(value)


def _training_batches(
    examples: Examples, batch_size: int, plan: TrainingPlan, seed: int, first_epoch: int
) -> tf.data.Dataset:
    """Return batches of augmented images and labels for all remaining epochs, shuffled in each."""
    import tensorflow as tf

    steps = len(examples) // batch_size
    read = _tensor_reader(examples, fill=True)
    components = tf.constant(_colour_components(examples, plan.augmentation))

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


def _validation_batches(examples: Examples) -> tf.data.Dataset:
    import tensorflow as tf

    batches = tf.data.Dataset.range(len(examples), output_type=tf.int32).batch(_VALIDATION_BATCH)
    read = _tensor_reader(examples, fill=False)
    return batches.map(read, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _tensor_reader(examples: Examples, fill: bool) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return a function from indices to images and labels.

    Unreadable images are left out or, with `fill`, replaced by other images of the batch.
    """
    import tensorflow as tf

    if isinstance(examples, InMemoryExamples):
        images, labels = tf.constant(examples.images), tf.constant(examples.labels)
        return lambda indices: (tf.gather(images, indices), tf.gather(labels, indices))

    def read(indices: NDArray[np.int32]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        pixels, kept = examples.read(indices.astype(np.intp))
        if fill and len(kept) < len(indices):
            if not len(kept):
                raise DatasetError("all images of a batch are unreadable")
            rows = np.arange(len(indices)) % len(kept)
            pixels, kept = pixels[rows], kept[rows]
        return pixels, examples.labels[kept]

    def load(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels, labels = tf.numpy_function(read, [indices], (tf.uint8, tf.int64), stateful=False)
        count = indices.shape[0] if fill else None
        return tf.ensure_shape(pixels, [count, *examples.shape]), tf.ensure_shape(labels, [count])

    return load


def _colour_components(examples: Examples, augmentation: Augmentation) -> NDArray[np.float32]:
    if not augmentation.colour:
        return np.zeros((3, 3), np.float32)
    count = min(len(examples), _COLOUR_SAMPLE)
    pixels, _ = examples.read(np.arange(count) * len(examples) // count)
    return principal_colours(pixels)


def _raise_image_errors(training: Examples, validation: Examples, error: Exception) -> None:
    """Raise the DatasetError behind an error of TensorFlow, which wraps all exceptions of a data set."""
    for examples in (training, validation):
        image_errors = getattr(examples, "image_errors", None)
        if image_errors is not None:
            image_errors.check()
    if DatasetError.__name__ in str(error):
        raise DatasetError("all images of a batch are unreadable") from error
