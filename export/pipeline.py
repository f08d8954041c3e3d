"""The road of one network: data, training, graph, evidence, model repository. Told in order."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import numpy as np
from numpy.typing import NDArray

from . import drawing, metrics, plots, verify
from .architectures.pixels import from_pixels
from .convert import OPSET, OUTPUT, convert
from .datasets import Dataset
from .manifest import Evaluation, Example, Manifest, OutputSpec, Parity, Training
from .progress import Bar, keras_callback
from .publish import check_writable, publish
from .recipes import Recipe
from .train import Curves, train

if TYPE_CHECKING:
    import keras

EXAMPLE_FILE: Final = "example.png"
CURVES_FILE: Final = "curves.png"
CONFUSION_FILE: Final = "confusion.png"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What was asked for on the command line. `limit` keeps so many training pictures a class."""

    data: Path | None
    models: Path
    epochs: int
    batch_size: int
    seed: int
    limit: int | None


@dataclass(frozen=True)
class Trained:
    """A network after its last epoch, how it got there, and what the manifest will say of it."""

    network: keras.Model
    curves: Curves
    record: Training


@dataclass(frozen=True)
class Verified:
    """A graph that is its network, with its answers to the test set and what they are worth."""

    graph: bytes
    answers: NDArray[np.float32]
    parity: Parity
    evaluation: Evaluation


def export(name: str, recipe: Recipe, order: Order, report: TextIO) -> Path:
    """Train, convert, verify and publish a network as the next version of `name`; return its directory.

    What happens is told on `report`.

    Raises:
        ExportError: a step failed. Then, as after Ctrl-C, nothing is published.
    """
    check_writable(order.models)
    dataset = recipe.load(order.data)
    trained = _train(recipe, dataset, order, report)
    verified = _verify(trained.network, dataset, report)
    example = recipe.example()
    golden = recipe.golden(order.seed)
    return publish(
        order.models,
        _manifest(name, recipe, dataset, trained, verified, example),
        verified.graph,
        golden,
        verify.keras_answers(trained.network, golden),
        {EXAMPLE_FILE: drawing.png(example), **_plots(name, dataset, trained, verified)},
    )


def _train(recipe: Recipe, dataset: Dataset, order: Order, report: TextIO) -> Trained:
    examples = dataset.train if order.limit is None else dataset.train.limit(order.limit)
    training, validation = examples.hold_out(recipe.held_out, order.seed)
    _tell(
        report,
        f"{dataset.name}: {len(training):,} pictures to train on, {len(validation):,} to validate, "
        f"{len(dataset.test):,} to test",
    )
    started = time.monotonic()
    network, curves = train(
        build=lambda: _build(recipe),
        training=training,
        validation=validation,
        plan=replace(recipe.plan, epochs=order.epochs, batch_size=order.batch_size),
        seed=order.seed,
        callbacks=[keras_callback(Bar(report))],
    )
    record = Training(
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        examples=len(training),
        epochs=order.epochs,
        seed=order.seed,
        seconds=round(time.monotonic() - started, 1),
        libraries=_libraries(),
    )
    return Trained(network, curves, record)


def _build(recipe: Recipe) -> keras.Model:
    network = recipe.build()
    verify.check_parameters(network, recipe.parameters)
    return from_pixels(network)


def _verify(network: keras.Model, dataset: Dataset, report: TextIO) -> Verified:
    graph = convert(network)
    answers = verify.onnx_answers(graph, dataset.test.images)
    parity = verify.check_parity(verify.keras_answers(network, dataset.test.images), answers)
    evaluation = verify.evaluate(answers, dataset.test, dataset.name)
    _tell(
        report,
        f"ONNX graph of {len(graph):,} bytes, at most {parity.max_abs_difference:.1e} from Keras; "
        f"{_score(evaluation)}, top-5 {evaluation.top5:.2%}, "
        f"calibration error {evaluation.calibration_error:.2%}",
    )
    return Verified(graph, answers, parity, evaluation)


def _manifest(
    name: str,
    recipe: Recipe,
    dataset: Dataset,
    trained: Trained,
    verified: Verified,
    example: NDArray[np.uint8],
) -> Manifest:
    guess = int(verify.onnx_answers(verified.graph, example[np.newaxis]).argmax())
    return Manifest(
        name=name,
        description=recipe.description,
        input=recipe.input,
        output=OutputSpec(OUTPUT, "probabilities"),
        labels=dataset.labels,
        max_batch_size=recipe.max_batch_size,
        opset=OPSET,
        parameters=trained.network.count_params(),
        tolerance=recipe.tolerance,
        example=Example(EXAMPLE_FILE, dataset.labels[guess]),
        training=trained.record,
        evaluation=verified.evaluation,
        parity=verified.parity,
    )


def _plots(name: str, dataset: Dataset, trained: Trained, verified: Verified) -> Mapping[str, bytes]:
    title = f"{name} on {dataset.name}"
    counts = metrics.confusion(verified.answers, dataset.test.labels)
    return {
        CURVES_FILE: plots.curves(trained.curves, f"{title}, {trained.record.examples:,} training pictures"),
        CONFUSION_FILE: plots.confusion(counts, dataset.labels, f"{title}: {_score(verified.evaluation)}"),
    }


def _score(evaluation: Evaluation) -> str:
    return f"accuracy {evaluation.accuracy:.2%} on {evaluation.examples:,} test pictures"


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


def _tell(report: TextIO, sentence: str) -> None:
    report.write(sentence + "\n")
    report.flush()
