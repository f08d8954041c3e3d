"""The manifest of a model version, in the format of models/README.md.

The caller of `publish` creates a `Manifest`. The version and the names, sizes and digests of the files are
known only at publication; `Manifest.document` adds them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from ..errors import ManifestError
from .io_spec import InputSpec, OutputSpec
from .manifest_sections import (
    Calibration,
    Evaluation,
    Features,
    FileRecord,
    GoldenRecord,
    Inspect,
    Parity,
    Quantization,
    TrainingRecord,
    Variant,
    Weights,
)

# Re-exports the sections, so that callers need one import.
__all__ = [
    "CARD_FILE",
    "FORMAT",
    "GOLDEN_FILE",
    "GRAPH_FILE",
    "MANIFEST_FILE",
    "Calibration",
    "Evaluation",
    "Example",
    "Features",
    "FileRecord",
    "GoldenRecord",
    "InputSpec",
    "Inspect",
    "Manifest",
    "OutputSpec",
    "Parity",
    "Quantization",
    "TrainingRecord",
    "Variant",
    "Weights",
]

FORMAT: Final = 2
GRAPH_FILE: Final = "model.onnx"
GOLDEN_FILE: Final = "golden.npz"
MANIFEST_FILE: Final = "manifest.json"
CARD_FILE: Final = "README.md"

# The server reads no manifest beyond these.
MAX_TEXT: Final = 256
MAX_DESCRIPTION: Final = 10_000
MAX_LABELS: Final = 65_536
MAX_LABEL: Final = 512
MAX_SIDE: Final = 16_384
MAX_BATCH_SIZE: Final = 4096
MAX_FILES: Final = 256
# Of the inputs of the largest batch, and of its outputs.
MAX_BATCH_BYTES: Final = 1 << 30

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_name(name: str) -> None:
    """Check the name of a model.

    Raises:
        ManifestError: it is not valid.
    """
    if not _NAME.fullmatch(name):
        raise ManifestError(
            f"{name!r} is not a valid model name: expected at most 64 letters, digits, '.', '_' and '-', "
            "starting with a letter or digit"
        )


@dataclass(frozen=True)
class Example:
    """The example image and the label that the model predicts for it."""

    file: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The manifest without the fields that are set at publication (version, digest, file names).

    Attributes:
        name: the model's name.
        description: one sentence.
        input, output: the tensors of the graph.
        labels: one label per class or map, in the order of the output.
        max_batch_size: the largest batch.
        opset: the opset of the default domain.
        parameters: the number of trained values.
        tolerance: the largest absolute difference from the golden outputs that the server accepts.
        example: the example image.
        training, evaluation, parity, calibration, quantization: see `manifest_sections`.
        weights: the origin of the weights.
        rewrites: the names of the rewrites applied to the graph, in order.
        variants: further graphs of the same network.
        inspect: the graph that returns the outputs of layers.
        features: the second output of the graph.

    Raises:
        ManifestError: a value is invalid, or values contradict each other.
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
    training: TrainingRecord | None = None
    evaluation: Evaluation | None = None
    parity: Parity | None = None
    weights: Weights = "trained"
    calibration: Calibration | None = None
    rewrites: tuple[str, ...] = ()
    quantization: Quantization | None = None
    variants: tuple[Variant, ...] = ()
    inspect: Inspect | None = None
    features: Features | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if not self.labels:
            raise ManifestError(f"model {self.name} has no labels; expected one per class")
        if len(self.labels) == 1 and self.output.kind in ("logits", "probabilities"):
            raise ManifestError(
                f"model {self.name} has one label, and {self.output.kind} of a single class are always 1; "
                "one class alone has the output kind 'sigmoid'"
            )
        if self.input.free and self.output.kind != "maps":
            raise ManifestError(
                f"model {self.name} is a classifier; its input must have a fixed height and width"
            )
        if min(self.max_batch_size, self.opset) < 1 or self.parameters < 0:
            raise ManifestError(
                f"max_batch_size {self.max_batch_size} and opset {self.opset} must be at least 1, "
                f"and parameters {self.parameters} at least 0"
            )
        self._check_limits()
        if not 0 < self.tolerance < math.inf:
            raise ManifestError(f"tolerance {self.tolerance} must be a positive number")
        if self.example is not None and not _FILE.fullmatch(self.example.file):
            raise ManifestError(f"{self.example.file!r} is not a valid file name for the example")

    def _check_limits(self) -> None:
        texts = (self.input.name, self.output.name, *self.rewrites)
        batch = max(
            self.max_batch_size * math.prod(axis or 1 for axis in shape)
            for shape in (self.input.shape(), self.output_shape())
        )
        for what, value, limit in (
            ("characters of a name", max(map(len, texts)), MAX_TEXT),
            ("characters of the description", len(self.description), MAX_DESCRIPTION),
            ("labels", len(self.labels), MAX_LABELS),
            ("characters of a label", max(map(len, self.labels)), MAX_LABEL),
            ("pixels of a side", max(self.input.height or 1, self.input.width or 1), MAX_SIDE),
            ("images of a batch", self.max_batch_size, MAX_BATCH_SIZE),
            ("bytes of a batch", 4 * batch, MAX_BATCH_BYTES),
        ):
            if value > limit:
                raise ManifestError(f"model {self.name} has {value:,} {what}; at most {limit:,} are allowed")

    def output_shape(self) -> tuple[int | None, ...]:
        """Return the axes of the output after the batch; None for a dynamic axis."""
        if self.output.kind == "maps":
            return self.input.axes(len(self.labels))
        return (len(self.labels),)

    def referenced_files(self) -> tuple[str, ...]:
        """Return the names of the files that are referred to, besides the graph and its golden archive."""
        names = [name for each in self.variants for name in (each.file, each.golden.file)]
        names += [each.file for each in (self.example, self.inspect) if each is not None]
        if self.features is not None and self.features.file is not None:
            names.append(self.features.file)
        return tuple(names)

    def document(self, version: int, files: Sequence[FileRecord]) -> dict[str, object]:
        """Return the content of manifest.json for a version that consists of these files."""
        fields = asdict(self)
        (sha256,) = (file.sha256 for file in files if file.name == GRAPH_FILE)
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
            "files": [asdict(file) for file in files],
            "variants": fields["variants"],
            "inspect": fields["inspect"],
            "features": fields["features"],
        }
