"""Sections of the manifest: training, evaluation, calibration, quantization, parity, and further graphs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..errors import ManifestError

_DIGEST = re.compile(r"[0-9a-f]{64}")

Weights = Literal["trained", "random", "fixed", "imported"]


@dataclass(frozen=True)
class TrainingRecord:
    """The training of the weights.

    Attributes:
        dataset: the name of the data set.
        dataset_sha256: the digest of its content, in hexadecimal.
        examples: the number of training images.
        epochs: passes over the training images.
        seed: the random seed.
        seconds: the wall-clock time.
        libraries: the version of each library.
        trainer: the Keras backend and its device; None in manifests of earlier versions.

    Raises:
        ManifestError: a value is out of range.
    """

    dataset: str
    dataset_sha256: str
    examples: int
    epochs: int
    seed: int
    seconds: float
    libraries: Mapping[str, str]
    trainer: str | None = None

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.dataset_sha256):
            raise ManifestError(f"{self.dataset_sha256!r} is not a SHA-256 digest in hexadecimal")
        if self.examples < 1 or self.epochs < 0 or not 0 <= self.seconds < math.inf:
            raise ManifestError(
                f"the training record is invalid: {self.examples} examples, {self.epochs} epochs, "
                f"{self.seconds} seconds"
            )


@dataclass(frozen=True)
class Evaluation:
    """The metrics of the ONNX graph on the test set.

    Attributes:
        dataset: the name of the data set.
        examples: the number of test images.
        accuracy, top5: from 0 to 1.
        calibration_error: the expected calibration error, from 0 to 1.
        predicted: the number of examples per predicted label, in the order of the labels; the server compares
            its traffic with it.

    Raises:
        ManifestError: a value is out of range.
    """

    dataset: str
    examples: int
    accuracy: float
    top5: float
    calibration_error: float
    predicted: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        metrics = (self.accuracy, self.top5, self.calibration_error)
        if self.examples < 1 or not all(0 <= metric <= 1 for metric in metrics):
            raise ManifestError(
                f"the evaluation is invalid: {self.examples} examples with {metrics}; accuracy, top-5 and "
                "calibration error must be between 0 and 1"
            )
        if self.predicted is not None and sum(self.predicted) != self.examples:
            raise ManifestError(
                f"the predicted counts sum to {sum(self.predicted)}, expected {self.examples} examples"
            )


@dataclass(frozen=True)
class Calibration:
    """Temperature scaling inside the graph.

    Attributes:
        examples: the number of held-out images that the temperature was fitted on.
        temperature: the temperature that the logits are divided by.
        error_before, error_after: the expected calibration error on the test set.

    Raises:
        ManifestError: a value is out of range.
    """

    examples: int
    temperature: float
    error_before: float
    error_after: float

    def __post_init__(self) -> None:
        valid = self.examples >= 1 and 0 < self.temperature < math.inf
        if not valid or not all(0 <= error <= 1 for error in (self.error_before, self.error_after)):
            raise ManifestError(
                f"the calibration is invalid: {self.examples} examples, temperature {self.temperature}, "
                f"errors {self.error_before} and {self.error_after}"
            )


@dataclass(frozen=True)
class Quantization:
    """The quantization of another version.

    Attributes:
        parent: the version that was quantized.
        method: the quantization method.
        calibration_examples: the number of calibration images.
        parent_accuracy: the parent's accuracy on the same test set; None if its weights are random.

    Raises:
        ManifestError: a value is out of range.
    """

    parent: str
    method: str
    calibration_examples: int
    parent_accuracy: float | None

    def __post_init__(self) -> None:
        accuracy = 0.0 if self.parent_accuracy is None else self.parent_accuracy
        if not self.parent.isdigit() or self.calibration_examples < 0 or not 0 <= accuracy <= 1:
            raise ManifestError(
                f"the quantization is invalid: parent {self.parent!r}, {self.calibration_examples} "
                f"calibration examples, parent accuracy {self.parent_accuracy}"
            )


@dataclass(frozen=True)
class Parity:
    """The comparison of Keras with ONNX Runtime on the same images."""

    examples: int
    max_abs_difference: float
    argmax_equal: bool


@dataclass(frozen=True)
class FileRecord:
    """A file of a version, with its size in bytes and its digest in hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class GoldenRecord:
    """The golden archive of a graph, and the largest absolute difference that the server accepts."""

    file: str
    tolerance: float


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Another graph of the same network, for a provider or in another precision.

    Attributes:
        file: the graph.
        provider: the execution provider that it is for, such as "cuda"; None for any.
        precision: the precision of its arithmetic; None for that of the default graph.
        golden: its own golden archive.
        evaluation: its own metrics.

    Raises:
        ManifestError: neither the provider nor the precision is given.
    """

    file: str
    golden: GoldenRecord
    provider: str | None = None
    precision: Literal["float32", "float16", "bfloat16", "int8"] | None = None
    evaluation: Evaluation | None = None

    def __post_init__(self) -> None:
        if self.provider is None and self.precision is None:
            raise ManifestError(f"the variant {self.file} names neither a provider nor a precision")


@dataclass(frozen=True)
class Inspect:
    """A graph that also returns the outputs of layers; it takes its weights from the model's graph."""

    file: str
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Features:
    """A second output of the graph, [batch, size]: the features in front of the last layer.

    Attributes:
        output: the name in the graph.
        size: the number of features.
        file: statistics of the features of training images; None if there are none.
        threshold: the distance from these statistics that is unusual; None if it is not known.
    """

    output: str
    size: int
    file: str | None = None
    threshold: float | None = None
