from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from export.datasets import mnist, synthetic_images
from export.datasets.dataset import Examples, FileExamples, InMemoryExamples
from export.datasets.image_files import ImageErrors, Location, Size
from export.errors import CheckpointError, DatasetError
from export.networks.preprocessing import from_pixels
from export.training.augment import Affine, Augmentation
from export.training.backend import trainer_name
from export.training.checkpoint import Checkpoint, TrainingState
from export.training.optimizers import Adam, Momentum
from export.training.train import Checkpointing, TrainingPlan, train

WARP = Augmentation(warp=Affine(rotation=10, translation=1))
DEVICE = trainer_name().partition(" on ")[2]
PLAN = TrainingPlan(epochs=2, batch_size=16, optimizer=Adam(3e-3), augmentation=WARP)

Splits = tuple[InMemoryExamples, InMemoryExamples]


def build(side: int = 28, channels: int = 1) -> keras.Model:
    """Build a small network with dropout, whose random generator is part of the state."""
    inputs = keras.Input((side, side, channels))
    x = keras.layers.Conv2D(4, 5, strides=3, activation="relu")(inputs)
    x = keras.layers.Dropout(0.2)(keras.layers.Flatten()(x))
    outputs = keras.layers.Dense(10, activation="softmax", dtype="float32")(x)
    return from_pixels(keras.Model(inputs, outputs))


@pytest.fixture(scope="module")
def splits(digits: Path) -> Splits:
    dataset = mnist.load(digits)
    assert isinstance(dataset.test, InMemoryExamples)
    assert isinstance(dataset.train, InMemoryExamples)
    return dataset.train.limit(10), dataset.test


@pytest.fixture(scope="module")
def first(splits: Splits) -> TrainingState:
    """The state after PLAN with seed 1."""
    _, state = train(build, *splits, PLAN, seed=1)
    return state


def equal(one: TrainingState, other: TrainingState) -> bool:
    return one.curves == other.curves and all(
        np.array_equal(first, second) for first, second in zip(one.values, other.values, strict=True)
    )


def test_seed_determines_every_weight(splits: Splits, first: TrainingState) -> None:
    _, second = train(build, *splits, PLAN, seed=2)
    assert first.curves != second.curves
    for one, other in zip(first.values, second.values, strict=True):
        assert one.size == 1 or np.any(one != other)


def test_curves_improve_while_the_learning_rate_decays_to_zero(
    splits: Splits,
) -> None:
    plan = TrainingPlan(epochs=6, batch_size=16, optimizer=Adam(3e-3), augmentation=Augmentation())
    network, state = train(build, *splits, plan, seed=0)
    assert float(network.optimizer.learning_rate) == pytest.approx(0, abs=1e-9)
    assert int(network.optimizer.iterations) == 6 * (100 // 16)
    curves = state.curves
    for curve in (curves.loss, curves.accuracy, curves.validation_loss, curves.validation_accuracy):
        assert len(curve) == 6
    assert curves.loss[-1] < curves.loss[0]
    assert curves.validation_accuracy[-1] > 0.5
    assert state.seconds > 0


def test_fewer_images_than_a_batch_form_one_batch(splits: Splits) -> None:
    plan = TrainingPlan(epochs=1, batch_size=1000, optimizer=Adam(1e-3), augmentation=WARP)
    network, _ = train(build, *splits, plan, seed=0)
    assert int(network.optimizer.iterations) == 1


class Interrupted(Exception):
    pass


def after(epoch: int) -> keras.callbacks.Callback:
    """Return a callback that interrupts the training after an epoch."""

    def leave(done: int, logs: object) -> None:
        if done == epoch:
            raise Interrupted

    return keras.callbacks.LambdaCallback(on_epoch_end=leave)


@pytest.mark.parametrize("optimizer", [Adam(3e-3, warmup=0.3), Momentum(0.01, drops=(0.5,))])
def test_resumed_training_ends_with_the_same_bits(
    splits: Splits, optimizer: Adam | Momentum, tmp_path: Path
) -> None:
    plan = TrainingPlan(epochs=2, batch_size=16, optimizer=optimizer, augmentation=WARP)
    _, whole = train(build, *splits, plan, seed=5)

    checkpointing = Checkpointing(checkpoint=Checkpoint(tmp_path / "kept.npz", "mine"), resume=True)
    with pytest.raises(Interrupted):
        train(build, *splits, plan, 5, checkpointing, callbacks=[after(0)])
    kept = checkpointing.checkpoint.load()
    assert kept is not None
    assert len(kept.curves) == 1
    network, resumed = train(build, *splits, plan, 5, checkpointing)
    assert equal(whole, resumed)

    again, same = train(build, *splits, plan, 5, checkpointing)  # all epochs are completed
    assert equal(whole, same)
    for one, other in zip(network.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_trainers_before_and_after_resuming_are_recorded(splits: Splits, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "kept.npz", "mine")
    checkpointing = Checkpointing(checkpoint=checkpoint, resume=True)
    plan = replace(PLAN, epochs=3)
    with pytest.raises(Interrupted):
        train(build, *splits, plan, 5, checkpointing, callbacks=[after(0)])
    kept = checkpoint.load()
    assert kept is not None
    assert kept.trainer == f"tensorflow {tf.__version__} on {DEVICE}"
    checkpoint.save(replace(kept, trainer="jax 1 on a GPU"))
    both = f"jax 1 on a GPU, then tensorflow {tf.__version__} on {DEVICE}"
    with pytest.raises(Interrupted):
        train(build, *splits, plan, 5, checkpointing, callbacks=[after(1)])
    _, state = train(build, *splits, plan, 5, checkpointing)  # the same trainer again is not repeated
    assert (len(state.curves), state.trainer) == (3, both)
    _, state = train(build, *splits, plan, 5, checkpointing)  # all epochs are completed
    assert state.trainer == both


def test_training_without_resume_ignores_the_checkpoint(
    splits: Splits, first: TrainingState, tmp_path: Path
) -> None:
    checkpointing = Checkpointing(checkpoint=Checkpoint(tmp_path / "kept.npz", "mine"), resume=False)
    checkpointing.checkpoint.save(first)
    _, second = train(build, *splits, PLAN, 1, checkpointing)
    assert equal(first, second)
    assert first.seconds != second.seconds


def test_unwritable_checkpoint_stops_the_training(splits: Splits, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    checkpointing = Checkpointing(checkpoint=Checkpoint(tmp_path / "file" / "kept.npz", "mine"), resume=False)
    with pytest.raises(CheckpointError, match="cannot write the checkpoint"):
        train(build, *splits, PLAN, 1, checkpointing)


@pytest.fixture
def streamed(tmp_path: Path) -> Callable[..., FileExamples]:
    def streamed(count: int, damaged: int = 0) -> FileExamples:
        """Write synthetic digits to files; the first `damaged` files are not images."""
        locations = []
        for number in range(count):
            path = tmp_path / f"{number:03}.png"
            path.write_bytes(
                b"no" if number < damaged else synthetic_images.png(synthetic_images.digit(number % 10))
            )
            locations.append(Location(path, path.name))
        size = Size(28, 28, 1, "stretch")
        return FileExamples(
            locations, np.arange(count) % 10, size, ImageErrors(10_000 if damaged < 3 else count, "here")
        )

    return streamed


def test_images_in_files_and_in_memory_train_equally(streamed: Callable[..., FileExamples]) -> None:
    files = streamed(40)
    pixels, _ = files.read(np.arange(40))
    memory = InMemoryExamples(pixels, files.labels)
    _, one = train(build, files, files, PLAN, seed=1)
    _, other = train(build, memory, memory, PLAN, seed=1)
    assert equal(one, other)


def test_few_damaged_images_are_skipped(streamed: Callable[..., FileExamples]) -> None:
    files = streamed(40, damaged=2)
    _, state = train(build, files, files, PLAN, seed=1)
    assert len(state.curves) == 2
    assert sorted(files.image_errors.reasons) == ["000.png", "001.png"]


def test_many_damaged_images_stop_the_training(streamed: Callable[..., FileExamples]) -> None:
    files = streamed(40, damaged=3)
    with pytest.raises(DatasetError, match=r"here is damaged: \d of its 40 images are unreadable so far"):
        train(build, files, files, PLAN, seed=1)


def test_random_crops_define_the_input_size(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 3), dtype=np.uint8)
    training: Examples = InMemoryExamples(images, np.arange(20) % 10)
    validation: Examples = InMemoryExamples(images[:, 2:10, 2:10], np.arange(20) % 10)
    augmentation = Augmentation(crop=(8, 8), mirror=True, colour=0.1)
    plan = TrainingPlan(epochs=1, batch_size=5, optimizer=Momentum(0.01), augmentation=augmentation)
    network, _ = train(lambda: build(8, 3), training, validation, plan, seed=1)
    assert network.input_shape == (None, 8, 8, 3)


def test_mixed_precision_training_returns_a_float32_network(splits: Splits) -> None:
    plan = TrainingPlan(
        epochs=2, batch_size=16, optimizer=Adam(3e-3), augmentation=WARP, mixed_precision=True
    )
    network, state = train(build, *splits, plan, seed=1)
    assert {layer.compute_dtype for layer in network.layers} <= {"float32", "uint8"}
    assert keras.config.dtype_policy().name == "float32"
    outputs: NDArray[np.float32] = network.predict_on_batch(splits[1].images)
    accuracy = float(np.mean(outputs.argmax(axis=1) == splits[1].labels))
    assert accuracy == pytest.approx(state.curves.validation_accuracy[-1], abs=0.05)


def test_distribution_strategy_trains_the_same_network(splits: Splits, first: TrainingState) -> None:
    """Uses a strategy with a single device."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    _, shared = train(build, *splits, PLAN, seed=1, strategy=strategy)
    assert shared.curves.loss == pytest.approx(first.curves.loss, rel=1e-4)
