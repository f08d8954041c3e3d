"""Trains, converts, verifies and publishes one network."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from ..datasets import synthetic_images
from ..datasets.dataset import Dataset, Examples
from ..evaluation import metrics, temperature_scaling, verify
from ..graph.convert import OPSET, OUTPUT, convert
from ..graph.ort_session import OrtSession
from ..graph.rewrites import rewrite
from ..report import report_files
from ..repository.labels_before import check_labels
from ..repository.manifest import (
    Calibration,
    Evaluation,
    Example,
    InputSpec,
    Manifest,
    OutputSpec,
    Parity,
    TrainingRecord,
)
from ..repository.publish import check_writable, publish
from ..training.backend import check_backend
from ..training.ensemble import Ensemble, StartingPoint, build_ensemble, train_members
from .export_options import ExportOptions
from .model_identity import ModelIdentity, check_publishable, model_identity
from .random_weights import EXAMPLE_FILE, publish_random_weights
from .recipes import Recipe
from .training_job import TrainingJob, create_training_job, load_dataset


@dataclass(frozen=True)
class Published:
    """A published version.

    Attributes:
        version: its folder.
        checkpoints: the folder of the checkpoints of its training; None if it was not trained.
    """

    version: Path
    checkpoints: Path | None = None


@dataclass(frozen=True)
class TrainedNetwork:
    """A calibrated network, its data set and the manifest's record of the training."""

    ensemble: Ensemble
    dataset: Dataset
    input: InputSpec
    record: TrainingRecord


@dataclass(frozen=True)
class VerifiedGraph:
    """A graph that matches its network.

    Attributes:
        graph: the ONNX file.
        rewrites: the rewrites that changed it, in order.
        test: the test examples that could be read.
        probabilities: the graph's outputs for them, [examples, classes].
        parity, evaluation, calibration: the sections of the manifest; no calibration without a temperature.
    """

    graph: bytes
    rewrites: tuple[str, ...]
    test: Examples
    probabilities: NDArray[np.float32]
    parity: Parity
    evaluation: Evaluation
    calibration: Calibration | None


def export_network(name: str, recipe: Recipe, options: ExportOptions, report: TextIO) -> Published:
    """Train, calibrate, convert, verify and publish a network as the next version of a model.

    The model has the name of the network, `name`, unless the options name another. Progress is written to
    `report`. Nothing is published after an error or an interrupt.

    Raises:
        ExportError: a step failed, or the options do not fit the data set.
    """
    check_writable(options.models)
    if options.random_weights:
        return Published(publish_random_weights(name, recipe, options, report))
    dataset = load_dataset(recipe, options)
    identity = model_identity(name, recipe, dataset, options)
    check_publishable(identity, recipe, dataset.labels, options)
    job = create_training_job(name, recipe, dataset, options, report)
    trained = _train(job, recipe, report)
    verified = _verify(trained, report)
    example = _example(recipe, trained.dataset, verified)
    golden = recipe.golden(options.seed)
    manifest = _manifest(identity, recipe, trained, verified, example)
    check_labels(options.models, identity.name, dataset.labels, replace=options.replace_labels)
    version = publish(
        options.models,
        manifest,
        verified.graph,
        golden,
        verify.predict_keras(trained.ensemble.network, golden),
        {
            EXAMPLE_FILE: synthetic_images.png(example),
            **report_files.build(
                manifest,
                verified.graph,
                trained.ensemble.members,
                verified.probabilities,
                verified.test,
                recipe.notes,
            ),
        },
    )
    return Published(version, job.ensemble.folder)


def train_only(name: str, recipe: Recipe, options: ExportOptions, report: TextIO) -> Path:
    """Train a network and keep only its checkpoints, for a later export with `resume`.

    Keras may use another backend than TensorFlow here.

    Returns:
        The folder of the checkpoints.

    Raises:
        ExportError: a step failed.
    """
    check_backend()
    job = create_training_job(name, recipe, load_dataset(recipe, options), options, report)
    train_members(job.ensemble, job.members, report)
    return job.ensemble.folder


def _train(job: TrainingJob, recipe: Recipe, report: TextIO) -> TrainedNetwork:
    options, dataset = job.ensemble, job.dataset
    members = train_members(options, job.members, report)
    ensemble = build_ensemble(
        members, options.validation, options.name, float16_weights=recipe.float16_weights
    )
    record = TrainingRecord(
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        examples=len(options.training),
        epochs=options.plan.epochs,
        seed=options.seed,
        seconds=round(sum(member.seconds for member in members), 1),
        libraries=_libraries(),
        trainer="; ".join(dict.fromkeys(member.trainer for member in members)) + _origin(options.start),
    )
    return TrainedNetwork(ensemble, dataset, job.input, record)


def _origin(start: StartingPoint | None) -> str:
    """Return the version that a training started from, and the training of that version, or nothing."""
    if start is None:
        return ""
    before = start.training
    earlier = (
        "" if before is None else f" ({before.epochs} epochs, {before.trainer or 'on an unknown device'})"
    )
    return f", from the weights of {start.version}{earlier}"


def _verify(trained: TrainedNetwork, report: TextIO) -> VerifiedGraph:
    ensemble, dataset = trained.ensemble, trained.dataset
    graph, rewrites = rewrite(convert(ensemble.network))
    predictors = [OrtSession(graph).run, verify.keras_predictor(ensemble.network)]
    (found, expected), test = verify.predict(predictors, dataset.test)
    if dataset.image_errors and (skipped := dataset.image_errors.summary()):
        print(skipped, file=report, flush=True)
    parity = verify.check_parity(expected, found)
    evaluation = verify.evaluate(found, test, dataset.name)
    calibration = None
    if ensemble.temperature is not None:
        calibration = Calibration(
            examples=ensemble.examples,
            temperature=ensemble.temperature,
            error_before=metrics.calibration_error(ensemble.uncalibrated_probabilities(found), test.labels),
            error_after=evaluation.calibration_error,
        )
    print(
        f"ONNX graph of {len(graph):,} bytes, within {parity.max_abs_difference:.1e} of Keras; "
        f"{report_files.format_accuracy(evaluation)}, top-5 {evaluation.top5:.2%}, "
        f"calibration error {evaluation.calibration_error:.2%} {_describe_calibration(trained, calibration)}",
        file=report,
        flush=True,
    )
    return VerifiedGraph(graph, rewrites, test, found, parity, evaluation, calibration)


def _describe_calibration(trained: TrainedNetwork, calibration: Calibration | None) -> str:
    if calibration is not None:
        return f"at temperature {calibration.temperature:.2f} ({calibration.error_before:.2%} before)"
    needed = temperature_scaling.min_examples(len(trained.dataset.labels))
    return (
        f"without a temperature: {trained.ensemble.examples:,} validation images are too few to fit one, "
        f"at least {needed:,} are needed"
    )


def _example(recipe: Recipe, dataset: Dataset, verified: VerifiedGraph) -> NDArray[np.uint8]:
    """Return the example of the recipe or, for other classes, a test image that is classified correctly."""
    if dataset.labels == recipe.labels:
        return recipe.example()
    correct = verified.probabilities.argmax(axis=1) == verified.test.labels
    pixels, _ = verified.test.read(np.array([correct.argmax()]))  # the first image, if none is correct
    image: NDArray[np.uint8] = pixels[0]
    return image


def _manifest(
    identity: ModelIdentity,
    recipe: Recipe,
    trained: TrainedNetwork,
    verified: VerifiedGraph,
    example: NDArray[np.uint8],
) -> Manifest:
    predicted = int(verify.predict_onnx(verified.graph, example[np.newaxis]).argmax())
    return Manifest(
        name=identity.name,
        description=identity.description,
        input=trained.input,
        output=OutputSpec(OUTPUT, "probabilities"),
        labels=trained.dataset.labels,
        max_batch_size=recipe.max_batch_size,
        opset=OPSET,
        parameters=trained.ensemble.network.count_params(),
        tolerance=recipe.tolerance,
        example=Example(EXAMPLE_FILE, trained.dataset.labels[predicted]),
        training=trained.record,
        evaluation=verified.evaluation,
        parity=verified.parity,
        weights="trained",
        calibration=verified.calibration,
        rewrites=verified.rewrites,
    )


def _libraries() -> Mapping[str, str]:
    import keras
    import onnx
    import onnxruntime
    import tensorflow as tf
    import tf2onnx

    libraries = (keras, np, onnx, onnxruntime, tf, tf2onnx)
    return {"python": platform.python_version()} | {
        module.__name__: module.__version__ for module in libraries
    }
