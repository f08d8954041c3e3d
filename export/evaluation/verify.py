"""Compares an ONNX graph with the Keras network it was converted from, and evaluates it on the test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ..datasets.dataset import Examples
from ..errors import VerificationError
from ..graph.ort_session import BATCH_SIZE, OrtSession
from ..repository.manifest import Evaluation, Parity
from . import metrics

if TYPE_CHECKING:
    import keras

# Float32 sums in another order differ by about 1e-7 here; a wrong layer differs by far more than this.
PARITY_TOLERANCE: Final = 1e-5

# Maps uint8 images, [images, height, width, channels], to probabilities, float32 of [images, classes].
Predictor = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def check_parameters(network: keras.Model, expected: int) -> None:
    """Check the number of parameters.

    Raises:
        VerificationError: the network has another number of parameters than its paper states.
    """
    found = network.count_params()
    if found != expected:
        raise VerificationError(f"{network.name} has {found:,} parameters, expected {expected:,}")


def keras_predictor(network: keras.Model) -> Predictor:
    """Return a function that runs one batch of images through a Keras network."""
    return lambda pixels: np.asarray(network.predict_on_batch(pixels), dtype=np.float32)


def predict(
    predictors: Sequence[Predictor], examples: Examples, batch_size: int = BATCH_SIZE
) -> tuple[Sequence[NDArray[np.float32]], Examples]:
    """Run several predictors over the same examples, which are read once and one batch at a time.

    Returns:
        The outputs of each predictor, [examples, classes], and the examples that could be read.

    Raises:
        DatasetError: too many images cannot be read.
    """
    outputs: list[list[NDArray[np.float32]]] = [[] for _ in predictors]
    kept = []
    for indices in examples.batches(batch_size):
        pixels, found = examples.read(indices)
        if len(found):
            kept.append(found)
            for predictor, batches in zip(predictors, outputs, strict=True):
                batches.append(predictor(pixels))
    readable = np.concatenate(kept)
    used = examples if len(readable) == len(examples) else examples.take(readable)
    return [np.concatenate(batches) for batches in outputs], used


def predict_keras(network: keras.Model, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the outputs of a Keras network, [images, classes]."""
    predictor = keras_predictor(network)
    starts = range(0, len(pixels), BATCH_SIZE)
    return np.concatenate([predictor(pixels[start : start + BATCH_SIZE]) for start in starts])


def predict_onnx(graph: bytes, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the outputs of an ONNX graph on the CPU, [images, classes].

    Raises:
        ConversionError: ONNX Runtime cannot load or run the graph.
    """
    return OrtSession(graph).run_batches(pixels)


def check_parity(expected: NDArray[np.float32], found: NDArray[np.float32]) -> Parity:
    """Compare the outputs of Keras with those of ONNX Runtime for the same images.

    Args:
        expected: the probabilities of Keras, [images, classes].
        found: those of ONNX Runtime, in the same shape.

    Raises:
        VerificationError: a probability differs by more than `PARITY_TOLERANCE`, or a predicted class
            differs.
    """
    difference = float(np.max(np.abs(expected - found)))
    if not difference <= PARITY_TOLERANCE:  # rejects NaN too
        raise VerificationError(
            "the ONNX graph does not match the Keras network: "
            f"probabilities differ by up to {difference:.1e} on {len(expected):,} images, "
            f"the limit is {PARITY_TOLERANCE:.0e}"
        )
    unequal = int(np.sum(expected.argmax(axis=1) != found.argmax(axis=1)))
    if unequal:
        raise VerificationError(
            "the ONNX graph does not match the Keras network: "
            f"the predicted class differs on {unequal:,} of {len(expected):,} images"
        )
    return Parity(examples=len(expected), max_abs_difference=difference, argmax_equal=True)


def evaluate(probabilities: NDArray[np.float32], test: Examples, dataset: str) -> Evaluation:
    """Compute the metrics of a graph from its outputs for the test set, [examples, classes]."""
    return Evaluation(
        dataset=dataset,
        examples=len(test),
        accuracy=metrics.accuracy(probabilities, test.labels),
        top5=metrics.top_k_accuracy(probabilities, test.labels, 5),
        calibration_error=metrics.calibration_error(probabilities, test.labels),
        predicted=tuple(np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1]).tolist()),
    )
