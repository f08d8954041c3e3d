"""Measures the accuracy of a published graph on changed test images.

D. Hendrycks, T. Dietterich, Benchmarking neural network robustness to common corruptions and perturbations,
ICLR 2019, do so for ImageNet.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from ..datasets.labelled_images import LabelledImages
from ..errors import DatasetError, ManifestError
from ..graph.ort_session import OrtSession
from ..repository.manifest import Manifest
from .image_faults import FAULTS, Pixels, apply_fault
from .report import Probabilities, scores

FILE: Final = "robustness.json"
DEFAULT_IMAGES: Final = 2000

_BATCH_SIZE: Final = 64
# Of the images that are changed together.
_PART_BYTES: Final = 64 << 20


@dataclass(frozen=True)
class ConditionResult:
    """The result under one condition.

    Attributes:
        condition: the change of the images.
        accuracy: from 0 to 1.
        confidence: the mean probability of the predicted class.
    """

    condition: str
    accuracy: float
    confidence: float


@dataclass(frozen=True)
class Robustness:
    """The results under all conditions, on the same images.

    Attributes:
        dataset: the name of the data set.
        examples: the number of images.
        results: the results, unchanged images first.
    """

    dataset: str
    examples: int
    results: tuple[ConditionResult, ...]

    def dump(self) -> bytes:
        """Return the content of `FILE`."""
        return (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode()

    @classmethod
    def parse(cls, content: bytes) -> Robustness:
        """Read the content of `FILE`.

        Raises:
            ManifestError: it has another form.
        """
        try:
            fields: dict[str, Any] = json.loads(content)
            results = tuple(ConditionResult(**result) for result in fields["results"])
            return cls(str(fields["dataset"]), int(fields["examples"]), results)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ManifestError(f"{FILE} cannot be read: {error}") from error


def measure(
    graph: bytes,
    manifest: Manifest,
    images: LabelledImages,
    seed: int = 0,
    progress: Callable[[int], None] = lambda images: None,
) -> Robustness:
    """Measure a classifier on images in the size of its input.

    Args:
        graph: the ONNX file.
        manifest: its manifest.
        images: the images.
        seed: determines the random changes.
        progress: takes the number of images that are done.

    Raises:
        DatasetError: no image can be read.
        ManifestError: the model is not a classifier.
        ConversionError: ONNX Runtime cannot load or run the graph.
    """
    if manifest.output.kind == "maps":
        raise ManifestError(f"{manifest.name} returns maps; only classifiers can be measured")
    session = OrtSession(graph)
    right: dict[str, float] = {}
    confidence: dict[str, float] = {}
    count = 0
    part = max(1, _PART_BYTES // math.prod(axis or 1 for axis in manifest.input.shape()))
    for start in range(0, len(images), part):
        pixels, kept = images.read(np.arange(start, min(start + part, len(images))), manifest.input)
        labels = images.labels[kept]
        for condition, changed in _conditions(pixels, seed + start):
            outputs = _run(session, manifest, changed)
            right[condition] = right.get(condition, 0) + float((outputs.argmax(axis=1) == labels).sum())
            confidence[condition] = confidence.get(condition, 0) + float(outputs.max(axis=1).sum())
        count += len(kept)
        progress(start + len(pixels))
    if not count:
        raise DatasetError(f"none of the {len(images):,} images of {images.dataset} can be read")
    results = (ConditionResult(name, right[name] / count, confidence[name] / count) for name in right)
    return Robustness(images.dataset, count, tuple(results))


def _conditions(pixels: Pixels, seed: int) -> Iterator[tuple[str, Pixels]]:
    if not len(pixels):
        return
    for name in FAULTS:
        yield name, apply_fault(name, pixels, seed)


def _run(session: OrtSession, manifest: Manifest, pixels: Pixels) -> Probabilities:
    size = min(_BATCH_SIZE, manifest.max_batch_size)
    starts = range(0, len(pixels), size)
    return np.concatenate([scores(session, manifest, pixels[start : start + size]) for start in starts])
