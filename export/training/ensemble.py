"""Trains the columns of a network one after the other, each with its checkpoint, and seats them together.

A network that is no committee is one of a single column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import numpy as np
from numpy.typing import NDArray

from ..datasets.dataset import Dataset, Examples
from ..evaluation import temperature_scaling, verify
from ..networks.ensemble import committee
from ..networks.preprocessing import Preparation, from_pixels
from .checkpoint import Checkpoint, Curves, fingerprint
from .mixed_precision import round_to_half
from .progress import Bar, keras_callback
from .train import Keeping, Plan, train

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

CHECKPOINTS: Final = Path(".checkpoints")


@dataclass(frozen=True, kw_only=True)
class Training:
    """What every column of a network has in common."""

    name: str
    build: Callable[[], keras.Model]
    preparations: Sequence[Preparation]
    dataset: Dataset
    training: Examples
    validation: Examples
    plan: Plan
    seed: int
    checkpoints: Path | None
    resume: bool
    strategy: tf.distribute.Strategy | None = None

    @property
    def folder(self) -> Path:
        """Where the checkpoints of all columns are kept."""
        return self.checkpoints or CHECKPOINTS / f"{self.name}-{self.fingerprint}"

    @property
    def fingerprint(self) -> str:
        """Tells it from others by what decides the weights of every column."""
        return fingerprint(
            self.name,
            self.dataset.sha256,
            self.dataset.labels,
            len(self.training),
            len(self.validation),
            self.training.shape,
            self.plan,
            self.seed,
        )


@dataclass(frozen=True)
class Column:
    """A trained column: the network behind the preparation of its pixels, the whole, and how it got there."""

    network: keras.Model
    whole: keras.Model
    curves: Curves
    seconds: float
    trainer: str


@dataclass(frozen=True)
class Seated:
    """Columns in one network whose temperature is `temperature`, fitted on so many held-out examples."""

    network: keras.Model
    columns: Sequence[Column]
    temperature: float
    examples: int


def train_columns(course: Training, number: int, report: TextIO) -> Sequence[Column]:
    """Train so many columns, or go on with them where a checkpoint says so."""
    columns = []
    for place in range(number):
        if number > 1:
            report.write(f"column {place + 1} of {number}\n")
        columns.append(_train(course, place, report))
    return columns


def seat(columns: Sequence[Column], validation: Examples, name: str, *, half_weights: bool) -> Seated:
    """Put the columns together and calibrate them on pictures that none has been trained on."""
    answers, held = verify.answers([verify.keras_answerer(column.whole) for column in columns], validation)
    temperature = temperature_scaling.fit(answers, held.labels)
    for column in columns:
        temperature_scaling.fold(column.network, temperature)
        if half_weights:
            round_to_half(column.network)
    return Seated(committee([column.whole for column in columns], name), columns, temperature, len(held))


def _train(course: Training, place: int, report: TextIO) -> Column:
    prepare = course.preparations[place % len(course.preparations)]
    seed = course.seed + place
    keeping = Keeping(checkpoint=_checkpoint(course, prepare, seed, place), resume=course.resume)
    networks: list[keras.Model] = []

    def build() -> keras.Model:
        networks.append(course.build())
        return from_pixels(networks[-1], prepare, course.name if place == 0 else f"{course.name}-{place + 1}")

    whole, state = train(
        build,
        course.training,
        course.validation,
        course.plan,
        seed,
        keeping,
        [keras_callback(Bar(report))],
        course.strategy,
    )
    return Column(networks[-1], whole, state.curves, state.seconds, state.trainer)


def _checkpoint(course: Training, prepare: Preparation, seed: int, place: int) -> Checkpoint:
    """A column is told from others by all that decides its weights, and not by how many there are."""
    owner = fingerprint(course.fingerprint, prepare.__name__, seed)
    return Checkpoint(course.folder / f"column-{place + 1}.npz", owner)


def uncalibrated(seated: Seated, answers: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """What the network would answer without its calibration, from what its columns answer with it."""
    return temperature_scaling.soften(answers, 1 / seated.temperature)
