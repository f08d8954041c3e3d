"""Holds the ONNX file against the network it was made from, and against the test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..datasets.dataset import Examples
from ..errors import VerificationError
from ..graph.convert import OUTPUT
from ..networks.preprocessing import INPUT
from ..repository.manifest import Evaluation, Parity
from . import metrics

if TYPE_CHECKING:
    import keras

# Float32 sums in another order differ by about 1e-7 here; a wrong layer by far more than this.
PARITY_TOLERANCE: Final = 1e-5

_BATCH = 100

Answerer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def check_parameters(network: keras.Model, expected: int) -> None:
    """Count the trained values.

    Raises:
        VerificationError: they are not as many as those of the published network.
    """
    found = network.count_params()
    if found != expected:
        raise VerificationError(
            f"{network.name} has {found:,} parameters, not the {expected:,} of its description"
        )


def keras_answerer(network: keras.Model) -> Answerer:
    """From pictures to what Keras gives for them: [pictures, classes]."""
    return lambda pixels: np.asarray(network.predict_on_batch(pixels), dtype=np.float32)


def onnx_answerer(graph: bytes) -> Answerer:
    """From pictures to what ONNX Runtime gives for them on the CPU: [pictures, classes]."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def answer(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        given: NDArray[np.float32] = session.run([OUTPUT], {INPUT: pixels})[0]
        return given

    return answer


def answers(
    answerers: Sequence[Answerer], examples: Examples
) -> tuple[Sequence[NDArray[np.float32]], Examples]:
    """What each gives for these examples, read once and never all in memory, and the examples that it was.

    Raises:
        DatasetError: too many pictures cannot be read.
    """
    given: list[list[NDArray[np.float32]]] = [[] for _ in answerers]
    kept = []
    for indices in examples.batches(_BATCH):
        pixels, found = examples.read(indices)
        if len(found):
            kept.append(found)
            for answer, so_far in zip(answerers, given, strict=True):
                so_far.append(answer(pixels))
    which = np.concatenate(kept)
    asked = examples if len(which) == len(examples) else examples.take(which)
    return [np.concatenate(batches) for batches in given], asked


def keras_answers(network: keras.Model, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What Keras gives for these pictures: [pictures, classes]."""
    return _in_batches(keras_answerer(network), pixels)


def onnx_answers(graph: bytes, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What ONNX Runtime gives for these pictures on the CPU: [pictures, classes]."""
    return _in_batches(onnx_answerer(graph), pixels)


def _in_batches(answer: Answerer, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.concatenate([answer(pixels[start : start + _BATCH]) for start in range(0, len(pixels), _BATCH)])


def check_parity(expected: NDArray[np.float32], found: NDArray[np.float32]) -> Parity:
    """Compare the answers of Keras and of ONNX Runtime to the same pictures.

    Raises:
        VerificationError: a probability differs by more than `PARITY_TOLERANCE`, or a decision differs.
    """
    difference = float(np.max(np.abs(expected - found)))
    if not difference <= PARITY_TOLERANCE:  # so that NaN fails too
        raise VerificationError(
            f"the graph is not the network: its probabilities differ by up to {difference:.1e} "
            f"on {len(expected):,} pictures, {PARITY_TOLERANCE:.0e} is allowed"
        )
    unequal = int(np.sum(expected.argmax(axis=1) != found.argmax(axis=1)))
    if unequal:
        raise VerificationError(
            f"the graph is not the network: it decides otherwise on {unequal:,} of {len(expected):,} pictures"
        )
    return Parity(examples=len(expected), max_abs_difference=difference, argmax_equal=True)


def evaluate(answers: NDArray[np.float32], test: Examples, dataset: str) -> Evaluation:
    """Score the graph's answers to a test set."""
    return Evaluation(
        dataset=dataset,
        examples=len(test),
        accuracy=metrics.accuracy(answers, test.labels),
        top5=metrics.top_k_accuracy(answers, test.labels, 5),
        calibration_error=metrics.calibration_error(answers, test.labels),
        predicted=tuple(np.bincount(answers.argmax(axis=1), minlength=answers.shape[1]).tolist()),
    )
