"""Trains the members of an ensemble one after the other and combines them into one calibrated network.

D. Cireşan, U. Meier, J. Schmidhuber, Multi-column deep neural networks for image classification, CVPR 2012,
calls a member a column. A single network is an ensemble with one member.
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
from ..networks.ensemble import average_ensemble
from ..networks.preprocessing import Preprocessing, from_pixels
from ..repository.manifest import TrainingRecord
from .checkpoint import Checkpoint, Curves, fingerprint
from .mixed_precision import round_to_float16
from .progress import ProgressBar, progress_callback
from .train import Checkpointing, TrainingPlan, train

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

DEFAULT_CHECKPOINTS: Final = Path(".checkpoints")


@dataclass(frozen=True, eq=False)
class StartingPoint:
    """The weights of a published version.

    Attributes:
        version: the name and the version, "name/1".
        sha256: the digest of its graph.
        members: the weights of each member, as `set_weights` of its network takes them.
        training: the record of its training, or None.
    """

    version: str
    sha256: str
    members: Sequence[Sequence[NDArray[np.float32]]]
    training: TrainingRecord | None


@dataclass(frozen=True, kw_only=True)
class EnsembleOptions:
    """The training options that all members of an ensemble share.

    Attributes:
        name: the name of the combined network.
        build: builds one untrained member.
        preprocessings: the preprocessing of each member; repeated if there are more members.
        dataset: the data set that `training` and `validation` come from.
        training: the examples to train on.
        validation: the held-out examples for validation and calibration.
        plan: the hyperparameters.
        seed: the seed of the first member; each further member adds one.
        checkpoints: the folder of the checkpoints; None for one below `DEFAULT_CHECKPOINTS`.
        resume: continues from existing checkpoints.
        strategy: distributes each batch over several GPUs.
        start: the version whose weights the members start from; None for random weights.
    """

    name: str
    build: Callable[[], keras.Model]
    preprocessings: Sequence[Preprocessing]
    dataset: Dataset
    training: Examples
    validation: Examples
    plan: TrainingPlan
    seed: int
    checkpoints: Path | None
    resume: bool
    strategy: tf.distribute.Strategy | None = None
    start: StartingPoint | None = None

    @property
    def folder(self) -> Path:
        """The folder of the checkpoints of all members."""
        return self.checkpoints or DEFAULT_CHECKPOINTS / f"{self.name}-{self.fingerprint}"

    @property
    def fingerprint(self) -> str:
        """Identifies everything that determines the weights of every member."""
        start = () if self.start is None else (self.start.sha256,)
        return fingerprint(
            self.name,
            self.dataset.sha256,
            self.dataset.labels,
            len(self.training),
            len(self.validation),
            self.training.shape,
            self.plan,
            self.seed,
            *start,
        )


@dataclass(frozen=True)
class EnsembleMember:
    """A trained member of an ensemble.

    Attributes:
        network: the network without its preprocessing.
        full_model: the network with its preprocessing; takes uint8 pixels.
        curves: the learning curves.
        seconds: the training time.
        trainer: the Keras backend and the device of the training.
    """

    network: keras.Model
    full_model: keras.Model
    curves: Curves
    seconds: float
    trainer: str


@dataclass(frozen=True)
class Ensemble:
    """A network that averages the probabilities of its members, calibrated if there are enough examples.

    Attributes:
        network: the combined network; takes uint8 pixels.
        members: its members; a single one is calibrated itself.
        temperature: the temperature of the combined network; None if there are too few examples to fit it.
        examples: the number of held-out examples.
    """

    network: keras.Model
    members: Sequence[EnsembleMember]
    temperature: float | None
    examples: int

    def uncalibrated_probabilities(self, calibrated: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probabilities without calibration, from the calibrated ones of the network."""
        return temperature_scaling.soften(calibrated, 1 / (self.temperature or 1))


def train_members(options: EnsembleOptions, count: int, report: TextIO) -> Sequence[EnsembleMember]:
    """Train `count` members, or resume their training from checkpoints.

    Raises:
        DatasetError: too many images cannot be read.
        CheckpointError: a checkpoint cannot be written, or belongs to another training.
    """
    members = []
    for index in range(count):
        if count > 1:
            report.write(f"member {index + 1} of {count}\n")
        members.append(_train_member(options, index, report))
    return members


def build_ensemble(
    members: Sequence[EnsembleMember], validation: Examples, name: str, *, float16_weights: bool
) -> Ensemble:
    """Combine the members and, with enough held-out examples, calibrate them.

    `float16_weights` rounds each weight to the nearest float16 number.

    Raises:
        DatasetError: too many images cannot be read.
    """
    predictors = [verify.keras_predictor(member.full_model) for member in members]
    probabilities, examples = verify.predict(predictors, validation)
    temperature = None
    if len(examples) >= temperature_scaling.min_examples(probabilities[0].shape[1]):
        temperature = temperature_scaling.fit(np.mean(probabilities, axis=0), examples.labels)
    if temperature is not None and len(members) == 1:
        temperature_scaling.fold(members[0].network, temperature)
    if float16_weights:
        for member in members:
            round_to_float16(member.network)
    network = average_ensemble([member.full_model for member in members], name, temperature)
    return Ensemble(network, members, temperature, len(examples))


def _train_member(options: EnsembleOptions, index: int, report: TextIO) -> EnsembleMember:
    preprocess = options.preprocessings[index % len(options.preprocessings)]
    seed = options.seed + index
    checkpointing = Checkpointing(
        checkpoint=_checkpoint(options, preprocess, seed, index), resume=options.resume
    )
    networks: list[keras.Model] = []

    def build() -> keras.Model:
        networks.append(options.build())
        if options.start is not None:
            networks[-1].set_weights(options.start.members[index])
        name = options.name if index == 0 else f"{options.name}-{index + 1}"
        return from_pixels(networks[-1], preprocess, name)

    full_model, state = train(
        build,
        options.training,
        options.validation,
        options.plan,
        seed,
        checkpointing,
        [progress_callback(ProgressBar(report))],
        options.strategy,
    )
    return EnsembleMember(networks[-1], full_model, state.curves, state.seconds, state.trainer)


def _checkpoint(options: EnsembleOptions, preprocess: Preprocessing, seed: int, index: int) -> Checkpoint:
    # The number of members is not part of the fingerprint, so that more can be added later.
    member = fingerprint(options.fingerprint, preprocess.__name__, seed)
    return Checkpoint(options.folder / f"member-{index + 1}.npz", member)
