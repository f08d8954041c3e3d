"""Where a version's weights come from and what was found of them, as the manifest says it."""

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
class Training:
    """Where the weights come from. `examples` counts the pictures trained on, `seconds` is wall time,
    `trainer` what Keras computed with and on what; None in what was published before it was recorded.
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
            raise ManifestError(f"{self.dataset_sha256!r} is no SHA-256 digest in hexadecimal")
        if self.examples < 1 or self.epochs < 0 or not 0 <= self.seconds < math.inf:
            raise ManifestError(
                f"a training of {self.examples} examples, {self.epochs} epochs and {self.seconds} seconds "
                "cannot have been"
            )


@dataclass(frozen=True)
class Evaluation:
    """Of the ONNX file itself on the test set; accuracies and error lie between 0 and 1.

    `predicted` counts the examples by the label they were given, in the order of the labels: what traffic
    like the test set would be answered with.
    """

    dataset: str
    examples: int
    accuracy: float
    top5: float
    calibration_error: float
    predicted: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        shares = (self.accuracy, self.top5, self.calibration_error)
        if self.examples < 1 or not all(0 <= share <= 1 for share in shares):
            raise ManifestError(
                f"an evaluation of {self.examples} examples with {shares} cannot have been: accuracy, "
                "top-5 and calibration error lie between 0 and 1"
            )
        if self.predicted is not None and sum(self.predicted) != self.examples:
            raise ManifestError(f"{sum(self.predicted)} of {self.examples} examples were given a label")


@dataclass(frozen=True)
class Calibration:
    """The temperature that the logits are divided by inside the graph, fitted on pictures held out.

    `error_before` and `error_after` are the expected calibration error on the test set.
    """

    examples: int
    temperature: float
    error_before: float
    error_after: float

    def __post_init__(self) -> None:
        possible = self.examples >= 1 and 0 < self.temperature < math.inf
        if not possible or not all(0 <= error <= 1 for error in (self.error_before, self.error_after)):
            raise ManifestError(
                f"a calibration on {self.examples} examples with temperature {self.temperature} and errors "
                f"{self.error_before} and {self.error_after} cannot have been"
            )


@dataclass(frozen=True)
class Quantization:
    """How an int8 graph came from the version `parent`, and the parent's accuracy on the same test set.

    The accuracy is None where the parent's weights are random: there is nothing to lose.
    """

    parent: str
    method: str
    calibration_examples: int
    parent_accuracy: float | None

    def __post_init__(self) -> None:
        accuracy = 0.0 if self.parent_accuracy is None else self.parent_accuracy
        if not self.parent.isdigit() or self.calibration_examples < 0 or not 0 <= accuracy <= 1:
            raise ManifestError(
                f"a quantization of version {self.parent!r} with {self.calibration_examples} examples, "
                f"whose accuracy was {self.parent_accuracy}, cannot have been"
            )


@dataclass(frozen=True)
class Parity:
    """Keras against ONNX Runtime on real pictures."""

    examples: int
    max_abs_difference: float
    argmax_equal: bool
