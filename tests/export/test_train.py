from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from export import mnist
from export.architectures.pixels import from_pixels
from export.augment import Affine
from export.datasets import Split
from export.train import Curves, Plan, train

PLAN = Plan(epochs=2, batch_size=16, learning_rate=3e-3, warp=Affine(rotation=10, translation=1))


def build() -> keras.Model:
    """Far smaller than any published network, for what holds for all."""
    inputs = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(4, 5, strides=3, activation="relu")(inputs)
    outputs = keras.layers.Dense(10, activation="softmax")(keras.layers.Flatten()(x))
    return from_pixels(keras.Model(inputs, outputs))


@pytest.fixture(scope="module")
def splits(digits: Path) -> tuple[Split, Split]:
    dataset = mnist.load(digits)
    return dataset.train.limit(10), dataset.test


def weights(splits: tuple[Split, Split], seed: int) -> tuple[list[NDArray[np.float32]], Curves]:
    network, curves = train(build, *splits, PLAN, seed)
    return network.get_weights(), curves


def test_the_seed_decides_every_weight(splits: tuple[Split, Split]) -> None:
    first, first_curves = weights(splits, seed=1)
    second, second_curves = weights(splits, seed=1)
    other, _ = weights(splits, seed=2)
    for one, two, three in zip(first, second, other, strict=True):
        np.testing.assert_array_equal(one, two)
        assert np.any(one != three)
    assert first_curves == second_curves


def test_curves_have_a_point_an_epoch_and_go_the_right_way(splits: tuple[Split, Split]) -> None:
    plan = Plan(epochs=6, batch_size=16, learning_rate=3e-3, warp=Affine())
    _, curves = train(build, *splits, plan, seed=0)
    for curve in (curves.loss, curves.accuracy, curves.validation_loss, curves.validation_accuracy):
        assert len(curve) == 6
    assert curves.loss[-1] < curves.loss[0]
    assert curves.validation_accuracy[-1] > 0.5


def test_the_learning_rate_falls_to_nothing(splits: tuple[Split, Split]) -> None:
    network, _ = train(build, *splits, PLAN, seed=0)
    assert float(network.optimizer.learning_rate) == pytest.approx(0, abs=1e-9)
    assert int(network.optimizer.iterations) == 2 * (100 // 16)


def test_fewer_pictures_than_a_batch_are_one_batch(splits: tuple[Split, Split]) -> None:
    training, validation = splits
    plan = Plan(epochs=1, batch_size=1000, learning_rate=1e-3, warp=Affine())
    network, _ = train(build, training, validation, plan, seed=0)
    assert int(network.optimizer.iterations) == 1
