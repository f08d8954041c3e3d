"""The evaluation of a graph on labelled images, and the comparison of two graphs on the same images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..datasets.labelled_images import LabelledImages
from ..datasets.server_input import as_input
from ..errors import DatasetError, ManifestError
from ..graph.ort_session import OrtSession
from ..repository.manifest import Evaluation, Manifest
from . import metrics

Probabilities = NDArray[np.float32]

_BATCH_SIZE: Final = 64


@dataclass(frozen=True)
class ClassResult:
    """The result for the images of one class.

    Attributes:
        label: the class.
        examples: the number of its images.
        right: the number of them that the model assigns to it.
        predicted: the number of all images that the model assigns to it.
    """

    label: str
    examples: int
    right: int
    predicted: int


@dataclass(frozen=True)
class Flip:
    """An image whose predicted class differs between two versions."""

    image: str
    label: str
    before: str
    after: str


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """The outputs of a graph for labelled images, and their metrics.

    Attributes:
        version: the name and version of the model, "name/1".
        dataset: the name of the data set.
        class_names: the labels of the model.
        names: the name of each image that could be read.
        labels: the true class of each, [images].
        probabilities: the outputs, [images, classes].
        unreadable: the reason for each image that could not be read, by name.
    """

    version: str
    dataset: str
    class_names: Sequence[str]
    names: Sequence[str]
    labels: NDArray[np.int64]
    probabilities: Probabilities
    unreadable: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predictions(self) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return found

    def evaluation(self) -> Evaluation:
        """Return the section of the manifest."""
        return Evaluation(
            dataset=self.dataset,
            examples=len(self),
            accuracy=metrics.accuracy(self.probabilities, self.labels),
            top5=metrics.top_k_accuracy(self.probabilities, self.labels, 5),
            calibration_error=metrics.calibration_error(self.probabilities, self.labels),
            predicted=tuple(np.bincount(self.predictions, minlength=len(self.class_names)).tolist()),
        )

    def interval(self) -> tuple[float, float]:
        """Return the 95 % confidence interval of the accuracy."""
        accuracy = np.array([metrics.accuracy(self.probabilities, self.labels)])
        low, high = metrics.wilson_interval(accuracy, np.array([len(self)]))
        return float(low[0]), float(high[0])

    def confusion(self) -> NDArray[np.int64]:
        """Return the confusion matrix, [true class, predicted class], in images."""
        return metrics.confusion(self.probabilities, self.labels)

    def classes(self) -> Sequence[ClassResult]:
        """Return the result of each class, in the order of the labels."""
        counts = self.confusion()
        return [
            ClassResult(
                label, int(counts[index].sum()), int(counts[index, index]), int(counts[:, index].sum())
            )
            for index, label in enumerate(self.class_names)
        ]

    def confusions(self, limit: int) -> Iterator[tuple[str, str, int]]:
        """Yield the most frequent pairs of a true and a predicted label, and their number of images."""
        wrong = self.confusion()
        np.fill_diagonal(wrong, 0)
        for place in np.argsort(-wrong, axis=None, kind="stable")[:limit]:
            true, predicted = divmod(int(place), len(self.class_names))
            if wrong[true, predicted]:
                yield self.class_names[true], self.class_names[predicted], int(wrong[true, predicted])

    def flips(self, before: EvaluationReport) -> Sequence[Flip]:
        """Return the images that another version assigns to another class, in their order."""
        name = self.class_names
        return [
            Flip(image, name[int(true)], name[int(old)], name[int(new)])
            for image, true, old, new in zip(
                self.names, self.labels, before.predictions, self.predictions, strict=True
            )
            if old != new
        ]


def evaluate_graph(
    graph: bytes, manifest: Manifest, version: str, images: LabelledImages
) -> EvaluationReport:
    """Run a published graph over labelled images, which are read one batch at a time.

    Args:
        graph: the ONNX file.
        manifest: its manifest.
        version: the name and version in the report.
        images: the images.

    Raises:
        DatasetError: no image can be read.
        ManifestError: the model is not a classifier.
        ConversionError: ONNX Runtime cannot load or run the graph.
    """
    if manifest.output.kind == "maps":
        raise ManifestError(f"{manifest.name} returns maps; only classifiers can be evaluated")
    session = OrtSession(graph)
    size = min(_BATCH_SIZE, manifest.max_batch_size)
    kept, outputs = [], []
    for start in range(0, len(images), size):
        pixels, found = images.read(np.arange(start, min(start + size, len(images))), manifest.input)
        if len(found):
            kept.append(found)
            outputs.append(scores(session, manifest, pixels))
    if not kept:
        name, reason = next(iter(images.unreadable.items()))
        raise DatasetError(f"none of the {len(images):,} images can be read, such as {name} ({reason})")
    readable = np.concatenate(kept)
    return EvaluationReport(
        version=version,
        dataset=images.dataset,
        class_names=manifest.labels,
        names=[images.names[index] for index in readable],
        labels=images.labels[readable],
        probabilities=np.concatenate(outputs),
        unreadable=dict(images.unreadable),
    )


def scores(session: OrtSession, manifest: Manifest, pixels: NDArray[np.uint8]) -> Probabilities:
    """Return the probabilities of prepared images, [images, height, width, channels], one batch."""
    outputs = session.run(as_input(pixels, manifest.input))
    return metrics.softmax(outputs) if manifest.output.kind == "logits" else outputs
