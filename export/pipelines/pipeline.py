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
from ..evaluation import metrics, verify
from ..graph.convert import OPSET, OUTPUT, convert
from ..graph.ort_session import OrtSession
from ..graph.rewrites import rewrite
from ..report import report_files
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
from ..training.ensemble import Ensemble, build_ensemble, train_members
from .export_options import ExportOptions
from .random_weights import EXAMPLE_FILE, publish_random_weights
from .recipes import Recipe
from .training_job import TrainingJob, create_training_job


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
        parity, evaluation, calibration: the sections of the manifest.
    """

    graph: bytes
    rewrites: tuple[str, ...]
    test: Examples
    probabilities: NDArray[np.float32]
    parity: Parity
    evaluation: Evaluation
    calibration: Calibration


def export_network(name: str, recipe: Recipe, options: ExportOptions, report: TextIO) -> Path:
    """Train, calibrate, convert, verify and publish a network as the next version of `name`.

    Progress is written to `report`. Nothing is published after an error or an interrupt.

    Returns:
        The folder of the new version.

    Raises:
        ExportError: a step failed.
    """
    check_writable(options.models)
    if options.random_weights:
        return publish_random_weights(name, recipe, options.models, options.classes, options.seed, report)
    trained = _train(create_training_job(name, recipe, options, report), recipe, report)
    verified = _verify(trained, report)
    example = recipe.example()
    golden = recipe.golden(options.seed)
    manifest = _manifest(name, recipe, trained, verified, example)
    return publish(
        options.models,
        manifest,
        verified.graph,
        golden,
        verify.predict_keras(trained.ensemble.network, golden),
        {
            EXAMPLE_FILE: synthetic_images.png(example),
            **report_files.build(manifest, trained.ensemble.members, verified.probabilities, verified.test),
        },
    )


def train_only(name: str, recipe: Recipe, options: ExportOptions, report: TextIO) -> Path:
    """Train a network and keep only its checkpoints, for a later export with `resume`.

    Keras may use another backend than TensorFlow here.

    Returns:
        The folder of the checkpoints.

    Raises:
        ExportError: a step failed.
    """
    check_backend()
    job = create_training_job(name, recipe, options, report)
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
        trainer="; ".join(dict.fromkeys(member.trainer for member in members)),
    )
    return TrainedNetwork(ensemble, dataset, job.input, record)


def _verify(trained: TrainedNetwork, report: TextIO) -> VerifiedGraph:
    ensemble, dataset = trained.ensemble, trained.dataset
    graph, rewrites = rewrite(convert(ensemble.network))
    members = [verify.keras_predictor(member.full_model) for member in ensemble.members]
    (found, *parts), test = verify.predict([OrtSession(graph).run, *members], dataset.test)
    if dataset.image_errors and (skipped := dataset.image_errors.summary()):
        print(skipped, file=report, flush=True)
    expected: NDArray[np.float32] = np.stack(parts).mean(axis=0)
    parity = verify.check_parity(expected, found)
    evaluation = verify.evaluate(found, test, dataset.name)
    calibration = Calibration(
        examples=ensemble.examples,
        temperature=ensemble.temperature,
        error_before=metrics.calibration_error(ensemble.uncalibrated_probabilities(parts), test.labels),
        error_after=evaluation.calibration_error,
    )
    print(
        f"ONNX graph of {len(graph):,} bytes, within {parity.max_abs_difference:.1e} of Keras; "
        f"{report_files.format_accuracy(evaluation)}, top-5 {evaluation.top5:.2%}, "
        f"calibration error {evaluation.calibration_error:.2%} at temperature {ensemble.temperature:.2f} "
        f"({calibration.error_before:.2%} before)",
        file=report,
        flush=True,
    )
    return VerifiedGraph(graph, rewrites, test, found, parity, evaluation, calibration)


def _manifest(
    name: str, recipe: Recipe, trained: TrainedNetwork, verified: VerifiedGraph, example: NDArray[np.uint8]
) -> Manifest:
    predicted = int(verify.predict_onnx(verified.graph, example[np.newaxis]).argmax())
    return Manifest(
        name=name,
        description=recipe.description,
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
