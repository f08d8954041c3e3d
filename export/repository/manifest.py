"""What a model version says of itself: the fields of models/README.md, as the export fills them in.

The caller of `publish` writes a `Manifest`; the version, the digest and the names of the files are known only
when it is published, and come in with `Manifest.document`.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Final

from ..errors import ManifestError
from .io_spec import InputSpec, OutputSpec
from .manifest_sections import Calibration, Evaluation, Parity, Quantization, Training, Weights

# Its parts come with it: who fills one in needs no more than this file.
__all__ = [
    "FORMAT",
    "GOLDEN_FILE",
    "GRAPH_FILE",
    "MANIFEST_FILE",
    "Calibration",
    "Evaluation",
    "Example",
    "InputSpec",
    "Manifest",
    "OutputSpec",
    "Parity",
    "Quantization",
    "Training",
    "Weights",
]

FORMAT: Final = 1
GRAPH_FILE: Final = "model.onnx"
GOLDEN_FILE: Final = "golden.npz"
MANIFEST_FILE: Final = "manifest.json"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Example:
    """A picture to try, and the label the model gives it."""

    file: str
    label: str


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
