"""Measures a model of handwritten digits on pictures as people bring them, for each resize rule."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from PIL import Image

from ..datasets.labelled_images import LabelledImages
from ..errors import DatasetError, ManifestError
from ..graph.ort_session import OrtSession
from ..imaging.decoder import prepared
from ..imaging.geometry import Size
from ..repository.io_spec import InputSpec
from ..repository.manifest import Manifest
from .digit_conditions import CONDITIONS, Picture, draw_condition
from .report import scores

Rule = Literal["fit", "stretch", "crop", "ink"]

FILE: Final = "digit_conditions.json"
DEFAULT_IMAGES: Final = 2000

_DIGITS: Final = tuple("0123456789")
_BATCH_SIZE: Final = 64


@dataclass(frozen=True)
class DigitResult:
    """The accuracies, from 0 to 1, of digits drawn under one condition, for each resize rule of the table."""

    condition: str
    accuracies: tuple[float, ...]


@dataclass(frozen=True)
class DigitTable:
    """The results under all conditions, on the same digits.

    Attributes:
        dataset: the name of the data set.
        examples: the number of digits.
        rules: the resize rules.
        results: the results.
    """

    dataset: str
    examples: int
    rules: tuple[str, ...]
    results: tuple[DigitResult, ...]

    def dump(self) -> bytes:
        """Return the content of `FILE`."""
        return (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode()

    @classmethod
    def parse(cls, content: bytes) -> DigitTable:
        """Read the content of `FILE`.

        Raises:
            ManifestError: it has another form.
        """
        try:
            fields: dict[str, Any] = json.loads(content)
            rules = tuple(map(str, fields["rules"]))
            results = tuple(
                DigitResult(str(result["condition"]), tuple(map(float, result["accuracies"])))
                for result in fields["results"]
            )
            if any(len(result.accuracies) != len(rules) for result in results):
                raise ValueError("a condition lacks an accuracy")
            return cls(str(fields["dataset"]), int(fields["examples"]), rules, results)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ManifestError(f"{FILE} cannot be read: {error}") from error

    def markdown(self) -> Sequence[str]:
        """Return the lines of the table in Markdown."""
        return [
            "| pictures | " + " | ".join(f"`{rule}`" for rule in self.rules) + " |",
            "| --- |" + " ---: |" * len(self.rules),
            *(
                f"| {result.condition} | " + " | ".join(f"{each:.1%}" for each in result.accuracies) + " |"
                for result in self.results
            ),
        ]


def is_measurable(manifest: Manifest) -> bool:
    """True if the model classifies the ten digits in pictures of MNIST's form."""
    spec = manifest.input
    form = spec.height, spec.width, spec.channels, spec.polarity
    return tuple(manifest.labels) == _DIGITS and form == (28, 28, 1, "light-on-dark")


def measure(
    graph: bytes,
    manifest: Manifest,
    images: LabelledImages,
    rules: Sequence[Rule] = ("fit", "ink"),
    seed: int = 0,
    progress: Callable[[str], None] = lambda condition: None,
) -> DigitTable:
    """Draw digits under each condition, and classify them with each resize rule.

    Args:
        graph: the ONNX file.
        manifest: its manifest.
        images: pictures of digits in MNIST's form.
        rules: the resize rules to compare.
        seed: determines the drawings.
        progress: takes the name of a condition that is done.

    Raises:
        DatasetError: no image can be read.
        ManifestError: the model is no classifier of digits in MNIST's form.
        ConversionError: ONNX Runtime cannot load or run the graph.
    """
    if not is_measurable(manifest):
        raise ManifestError(
            f"{manifest.name} does not classify the digits 0 to 9, light on dark, in 28x28 grey pixels"
        )
    digits, kept = images.read(np.arange(len(images)), manifest.input)
    if not len(kept):
        raise DatasetError(f"none of the {len(images):,} images of {images.dataset} can be read")
    session = OrtSession(graph)
    labels = images.labels[kept]
    specs = [replace(manifest.input, resize=rule) for rule in rules]
    results = []
    for name in CONDITIONS:
        pictures = draw_condition(name, digits, seed)
        right = [_right(session, replace(manifest, input=spec), pictures, labels) for spec in specs]
        results.append(DigitResult(name, tuple(count / len(labels) for count in right)))
        progress(name)
    return DigitTable(images.dataset, len(labels), tuple(rules), tuple(results))


def _right(
    session: OrtSession, manifest: Manifest, pictures: Sequence[Picture], labels: np.ndarray[Any, Any]
) -> int:
    right = 0
    for start in range(0, len(pictures), _BATCH_SIZE):
        part = pictures[start : start + _BATCH_SIZE]
        pixels = np.stack([_prepared(picture, manifest.input) for picture in part])
        found = scores(session, manifest, pixels).argmax(axis=1)
        right += int((found == labels[start : start + len(part)]).sum())
    return right


def _prepared(picture: Picture, spec: InputSpec) -> Picture:
    return prepared(Image.fromarray(picture), Size.of(spec))
