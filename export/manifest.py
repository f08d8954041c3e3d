"""What a model version says of itself: the fields of models/README.md, as the export fills them in.

The caller of `publish` writes a `Manifest`; the version, the digest and the names of the files are known only
when it is published, and come in with `Manifest.document`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, Literal

from .errors import ManifestError

FORMAT: Final = 1
GRAPH_FILE: Final = "model.onnx"
GOLDEN_FILE: Final = "golden.npz"
MANIFEST_FILE: Final = "manifest.json"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")


Weights = Literal["trained", "random", "fixed", "imported"]


@dataclass(frozen=True)
class InputSpec:
    """What the graph takes, and what must be done to a picture before it.

    Height and width are both None where the graph takes any; then a picture keeps its size, whatever
    `resize` says.
    """

    name: str
    dtype: Literal["uint8", "float32"]
    layout: Literal["NHWC", "NCHW"]
    height: int | None
    width: int | None
    channels: int
    resize: Literal["fit", "stretch", "crop"]
    polarity: Literal["light-on-dark", "dark-on-light"] | None = None
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if (self.height is None) != (self.width is None):
            raise ManifestError("height and width are free together or not at all")
        if any(side is not None and side < 1 for side in (self.height, self.width)) or (
            self.channels not in (1, 3)
        ):
            raise ManifestError(
                f"an input of {self.height}x{self.width}x{self.channels} is no picture: "
                "height and width are at least 1, channels 1 or 3"
            )
        if self.dtype == "uint8" and any(value is not None for value in (self.scale, self.mean, self.std)):
            raise ManifestError(
                "scale, mean and std are for float32 inputs: a uint8 graph rescales by itself"
            )
        for field, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != self.channels:
                raise ManifestError(f"{field} has {len(values)} values for {self.channels} channels")

    @property
    def free(self) -> bool:
        """Whether the graph takes pictures of any height and width."""
        return self.height is None

    def shape(self) -> tuple[int | None, ...]:
        """The axes after the batch, in the order of the layout; None where one is free."""
        return self.axes(self.channels)

    def axes(self, depth: int) -> tuple[int | None, ...]:
        """The axes after the batch of a tensor of this height and width and so many channels or maps."""
        if self.layout == "NHWC":
            return (self.height, self.width, depth)
        return (depth, self.height, self.width)


@dataclass(frozen=True)
class OutputSpec:
    """What the graph gives: float32 of [batch, classes], or, of a graph that is no classifier, maps.

    Maps are as high and wide as the input and stand in its layout, one a label where the channels are.
    """

    name: str
    kind: Literal["probabilities", "logits", "maps"]


@dataclass(frozen=True)
class Example:
    """A picture to try, and the label the model gives it."""

    file: str
    label: str


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
        if not self.parent.isdigit() or self.calibration_examples < 1 or not 0 <= accuracy <= 1:
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


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything a version says of itself but what publishing decides (version, digest, file names).

    `opset` is that of the default domain, `parameters` the number of trained values, `tolerance` the largest
    absolute difference from the golden answers that the server lets pass, `weights` where those come from,
    `rewrites` the names of what was done to the graph after its conversion, in order.
    """

    name: str
    description: str
    input: InputSpec
    output: OutputSpec
    labels: tuple[str, ...]
    max_batch_size: int
    opset: int
    parameters: int
    tolerance: float
    example: Example | None = None
    training: Training | None = None
    evaluation: Evaluation | None = None
    parity: Parity | None = None
    weights: Weights = "trained"
    calibration: Calibration | None = None
    rewrites: tuple[str, ...] = ()
    quantization: Quantization | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ManifestError(
                f"{self.name!r} cannot be a model's name: letters, digits, '.', '_' and '-', at most 64, "
                "beginning with a letter or digit"
            )
        if not self.labels:
            raise ManifestError(f"model {self.name} has no labels: a classifier has one a class")
        if self.input.free and self.output.kind != "maps":
            raise ManifestError(
                f"model {self.name} is a classifier, and a classifier's height and width are fixed"
            )
        if min(self.max_batch_size, self.opset) < 1 or self.parameters < 0:
            raise ManifestError(
                f"max_batch_size {self.max_batch_size} and opset {self.opset} must be at least 1, "
                f"parameters {self.parameters} at least 0"
            )
        if not 0 < self.tolerance < math.inf:
            raise ManifestError(f"tolerance is {self.tolerance}: it must be a positive number")
        if self.example is not None and not _FILE.fullmatch(self.example.file):
            raise ManifestError(f"{self.example.file!r} cannot be the name of a file beside the model")

    def output_shape(self) -> tuple[int | None, ...]:
        """The axes of the output after the batch; None where one is free."""
        if self.output.kind == "maps":
            return self.input.axes(len(self.labels))
        return (len(self.labels),)

    def document(self, version: int, sha256: str) -> dict[str, object]:
        """The content of manifest.json for this version, whose graph has this digest (hexadecimal)."""
        fields = asdict(self)
        return {
            "format": FORMAT,
            "name": self.name,
            "version": str(version),
            "description": self.description,
            "input": fields["input"],
            "output": fields["output"],
            "labels": list(self.labels),
            "max_batch_size": self.max_batch_size,
            "onnx": {
                "file": GRAPH_FILE,
                "sha256": sha256,
                "opset": self.opset,
                "parameters": self.parameters,
            },
            "golden": {"file": GOLDEN_FILE, "tolerance": self.tolerance},
            "example": fields["example"],
            "training": fields["training"],
            "evaluation": fields["evaluation"],
            "parity": fields["parity"],
            "weights": self.weights,
            "calibration": fields["calibration"],
            "rewrites": list(self.rewrites),
            "quantization": fields["quantization"],
        }
