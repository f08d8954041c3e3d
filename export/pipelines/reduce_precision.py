"""Publishes an int8 or float16 version of a published model, unless it loses too much accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TextIO

import numpy as np
from numpy.typing import NDArray

from ..datasets.dataset import Dataset
from ..datasets.image_files import Size
from ..errors import DatasetError, ManifestError, VerificationError
from ..evaluation import metrics, verify
from ..graph.float16 import METHOD as FLOAT16_METHOD
from ..graph.float16 import to_float16
from ..graph.int8 import METHOD as INT8_METHOD
from ..graph.int8 import to_int8
from ..graph.ort_session import OrtSession
from ..report import model_card
from ..repository.manifest import Evaluation, Manifest, Quantization
from ..repository.publish import check_writable, publish
from ..repository.repository_reader import PublishedVersion, read_version
from .recipes import notes_of

MAX_ACCURACY_LOSS: Final = 0.005

_BATCH_SIZE: Final = 32


@dataclass(frozen=True, kw_only=True)
class Precision:
    """A reduced precision.

    Attributes:
        method: the name in the manifest.
        convert: maps a graph and calibration images, [images, height, width, channels], to the new graph and
            the names of the rewrites applied to it.
        calibration_images: about how many images `convert` needs, evenly over the classes.
        tolerance: the tolerance of the golden outputs, relative to the largest one.
    """

    method: str
    convert: Callable[[bytes, NDArray[np.uint8]], tuple[bytes, tuple[str, ...]]]
    calibration_images: int
    tolerance: float


PRECISIONS: Final[Mapping[str, Precision]] = {
    # On other CPUs a sum may round to the adjacent step.
    "int8": Precision(method=INT8_METHOD, convert=to_int8, calibration_images=512, tolerance=0.05),
    # A CPU computes in 32 bits, other devices in 16.
    "float16": Precision(method=FLOAT16_METHOD, convert=to_float16, calibration_images=0, tolerance=0.02),
}


@dataclass(frozen=True, kw_only=True)
class ReducePrecisionOptions:
    """The command-line options of `quantize`.

    Attributes:
        models: the model repository.
        name: the model.
        version: the version to convert; None for the highest one that is not quantized.
        precision: a key of `PRECISIONS`.
        data: the folder of the data set that the model was trained on.
    """

    models: Path
    name: str
    version: str | None = None
    precision: str = "int8"
    data: Path | None = None


def reduce_precision(options: ReducePrecisionOptions, report: TextIO) -> Path:
    """Convert a version to a reduced precision and publish it as the next version of the same model.

    Returns:
        The folder of the new version.

    Raises:
        ExportError: a step failed, or the accuracy drops by more than `MAX_ACCURACY_LOSS`; nothing is
            published.
    """
    precision = PRECISIONS[options.precision]
    parent = read_version(options.models, options.name, options.version)
    _check_convertible(parent)
    check_writable(options.models)
    dataset = None if parent.manifest.weights == "random" else _load_dataset(parent.manifest, options.data)
    images = _calibration_images(parent, dataset, precision.calibration_images)
    graph, rewrites = precision.convert(parent.graph, images)
    before = after = None
    if dataset is not None:
        before, after = (_evaluate(each, dataset, parent.manifest) for each in (parent.graph, graph))
        _check_accuracy(before, after, options.precision)
    _report(report, options.precision, parent, graph, before, after)
    outputs = OrtSession(graph).run(parent.golden_inputs)
    manifest = replace(
        parent.manifest,
        tolerance=precision.tolerance * float(np.abs(outputs).max()),
        evaluation=after,
        parity=None,
        calibration=None,
        rewrites=(*parent.manifest.rewrites, *rewrites),
        variants=(),
        inspect=None,
        features=None,
        quantization=Quantization(
            parent=parent.version,
            method=precision.method,
            calibration_examples=len(images),
            parent_accuracy=None if before is None else before.accuracy,
        ),
    )
    manifest, files = _with_example(parent, manifest, graph)
    files[model_card.FILE] = model_card.render(manifest, graph, [], notes=notes_of(manifest)).encode()
    return publish(options.models, manifest, graph, parent.golden_inputs, outputs, files)


def _check_convertible(parent: PublishedVersion) -> None:
    spec, name = parent.manifest.input, parent.manifest.name
    if parent.manifest.output.kind == "maps":
        raise ManifestError(f"{name} returns maps; only classifiers can be quantized")
    if spec.dtype != "uint8" or spec.layout != "NHWC":
        raise ManifestError(
            f"the input of {name} is {spec.dtype} {spec.layout}; only uint8 NHWC inputs can be quantized"
        )
    if parent.manifest.quantization is not None:
        raise ManifestError(f"version {parent.version} of {name} is already quantized")


def _load_dataset(manifest: Manifest, data: Path | None) -> Dataset:
    from .recipes import RECIPES, load_images

    size = Size.of(manifest.input)
    dataset = RECIPES[manifest.name].load(data, size) if manifest.name in RECIPES else load_images(data, size)
    if dataset.labels != manifest.labels:
        raise DatasetError(
            f"the {len(dataset.labels):,} classes of {dataset.name} are not the {len(manifest.labels):,} "
            f"classes of {manifest.name}"
        )
    return replace(dataset, train=dataset.train.sized(size), test=dataset.test.sized(size))


def _calibration_images(parent: PublishedVersion, dataset: Dataset | None, count: int) -> NDArray[np.uint8]:
    """Return about `count` training images, evenly over the classes, or golden inputs without a data set."""
    if dataset is None or not count:
        return parent.golden_inputs[:count]
    chosen = dataset.train.limit(max(1, count // len(np.unique(dataset.train.labels))))
    pixels, _ = chosen.read(np.arange(len(chosen)))
    return pixels


def _evaluate(graph: bytes, dataset: Dataset, manifest: Manifest) -> Evaluation:
    (scores,), test = verify.predict([OrtSession(graph).run], dataset.test, _BATCH_SIZE)
    probabilities = metrics.softmax(scores) if manifest.output.kind == "logits" else scores
    return verify.evaluate(probabilities, test, dataset.name)


def _check_accuracy(before: Evaluation, after: Evaluation, precision: str) -> None:
    if before.accuracy - after.accuracy > MAX_ACCURACY_LOSS:
        raise VerificationError(
            f"in {precision} the accuracy drops from {before.accuracy:.2%} to {after.accuracy:.2%} on "
            f"{after.examples:,} images; the limit is {MAX_ACCURACY_LOSS:.1%}, nothing is published"
        )


def _with_example(
    parent: PublishedVersion, manifest: Manifest, graph: bytes
) -> tuple[Manifest, dict[str, bytes]]:
    """Copy the parent's example image and set the label that the new graph predicts for it."""
    from PIL import Image

    example = manifest.example
    if example is None:
        return manifest, {}
    path = parent.folder / example.file
    with Image.open(path) as image:
        pixels = np.asarray(image).reshape(1, image.height, image.width, -1)
    if pixels.shape[1:] == manifest.input.shape():
        label = manifest.labels[int(OrtSession(graph).run(pixels).argmax())]
        manifest = replace(manifest, example=replace(example, label=label))
    return manifest, {example.file: path.read_bytes()}


def _report(
    report: TextIO,
    precision: str,
    parent: PublishedVersion,
    graph: bytes,
    before: Evaluation | None,
    after: Evaluation | None,
) -> None:
    quality = (
        f"accuracy {after.accuracy:.2%}, {before.accuracy:.2%} before, on {after.examples:,} test images"
        if before is not None and after is not None
        else "random weights, no accuracy"
    )
    share = len(graph) / len(parent.graph)
    report.write(
        f"{precision} graph of {len(graph):,} bytes, {share:.0%} of version {parent.version}; {quality}\n"
    )
    report.flush()
