"""The road of one network: data, training, graph, evidence, model repository. Told in order."""

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
    Training,
)
from ..repository.publish import check_writable, publish
from ..training.backend import check_backend
from ..training.ensemble import Seated, seat, train_columns, uncalibrated
from .export_options import Order
from .random_weights import EXAMPLE_FILE, publish_untrained
from .recipes import Recipe
from .training_job import Study, planned


@dataclass(frozen=True)
class Trained:
    """A calibrated network, what it was trained on, and what the manifest will say of it."""

    seated: Seated
    dataset: Dataset
    input: InputSpec
    record: Training


@dataclass(frozen=True)
class Verified:
    """A graph that is its network, with its answers to the test pictures and what they are worth."""

    graph: bytes
    rewrites: tuple[str, ...]
    test: Examples
    answers: NDArray[np.float32]
    parity: Parity
    evaluation: Evaluation
    calibration: Calibration


def export(name: str, recipe: Recipe, order: Order, report: TextIO) -> Path:
    """Train, calibrate, convert, verify and publish a network as the next version of `name`; return its
    directory.

    What happens is told on `report`.

    Raises:
        ExportError: a step failed. Then, as after Ctrl-C, nothing is published.
    """
    check_writable(order.models)
    if order.random:
        return publish_untrained(name, recipe, order.models, order.classes, order.seed, report)
    trained = _train(planned(name, recipe, order, report), recipe, report)
    verified = _verify(trained, report)
    example = recipe.example()
    golden = recipe.golden(order.seed)
    manifest = _manifest(name, recipe, trained, verified, example)
    return publish(
        order.models,
        manifest,
        verified.graph,
        golden,
        verify.keras_answers(trained.seated.network, golden),
        {
            EXAMPLE_FILE: synthetic_images.png(example),
            **report_files.files(manifest, trained.seated.columns, verified.answers, verified.test),
        },
    )


def learn(name: str, recipe: Recipe, order: Order, report: TextIO) -> Path:
    """Train a network and leave it in its checkpoints, whose folder is returned, for an export that resumes.

    Keras may have another backend than TensorFlow for that.

    Raises:
        ExportError: a step failed.
    """
    check_backend()
    study = planned(name, recipe, order, report)
    train_columns(study.lesson, study.columns, report)
    return study.lesson.folder


def _train(study: Study, recipe: Recipe, report: TextIO) -> Trained:
    lesson, found = study.lesson, study.dataset
    columns = train_columns(lesson, study.columns, report)
    seated = seat(columns, lesson.validation, lesson.name, half_weights=recipe.half_weights)
    record = Training(
        dataset=found.name,
        dataset_sha256=found.sha256,
        examples=len(lesson.training),
        epochs=lesson.plan.epochs,
        seed=lesson.seed,
        seconds=round(sum(column.seconds for column in columns), 1),
        libraries=_libraries(),
        trainer="; ".join(dict.fromkeys(column.trainer for column in columns)),
    )
    return Trained(seated, found, study.input, record)


def _verify(trained: Trained, report: TextIO) -> Verified:
    seated, dataset = trained.seated, trained.dataset
    graph, rewrites = rewrite(convert(seated.network))
    columns = [verify.keras_answerer(column.whole) for column in seated.columns]
    (found, *parts), test = verify.answers([verify.onnx_answerer(graph), *columns], dataset.test)
    if dataset.faults and (skipped := dataset.faults.told()):
        print(skipped, file=report, flush=True)
    expected: NDArray[np.float32] = np.stack(parts).mean(axis=0)
    parity = verify.check_parity(expected, found)
    evaluation = verify.evaluate(found, test, dataset.name)
    calibration = Calibration(
        examples=seated.examples,
        temperature=seated.temperature,
        error_before=metrics.calibration_error(uncalibrated(seated, parts), test.labels),
        error_after=evaluation.calibration_error,
    )
    print(
        f"ONNX graph of {len(graph):,} bytes, at most {parity.max_abs_difference:.1e} from Keras; "
        f"{report_files.score(evaluation)}, top-5 {evaluation.top5:.2%}, "
        f"calibration error {evaluation.calibration_error:.2%} at temperature {seated.temperature:.2f} "
        f"({calibration.error_before:.2%} before)",
        file=report,
        flush=True,
    )
    return Verified(graph, rewrites, test, found, parity, evaluation, calibration)


def _manifest(
    name: str, recipe: Recipe, trained: Trained, verified: Verified, example: NDArray[np.uint8]
) -> Manifest:
    guess = int(verify.onnx_answers(verified.graph, example[np.newaxis]).argmax())
    return Manifest(
        name=name,
        description=recipe.description,
        input=trained.input,
        output=OutputSpec(OUTPUT, "probabilities"),
        labels=trained.dataset.labels,
        max_batch_size=recipe.max_batch_size,
        opset=OPSET,
        parameters=trained.seated.network.count_params(),
        tolerance=recipe.tolerance,
        example=Example(EXAMPLE_FILE, trained.dataset.labels[guess]),
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
