"""Makes a version of a published model in smaller numbers, and publishes it if it is hardly less accurate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TextIO

import numpy as np
from numpy.typing import NDArray

from ..datasets.dataset import Dataset, Examples
from ..datasets.image_files import Size
from ..errors import DatasetError, ManifestError, VerificationError
from ..evaluation import verify
from ..graph.float16 import METHOD as HALF
from ..graph.float16 import halved
from ..graph.int8 import METHOD as INT8
from ..graph.int8 import quantized
from ..graph.ort_session import Session
from ..report import model_card
from ..repository.manifest import Evaluation, Manifest, Quantization
from ..repository.publish import check_writable, publish
from ..repository.repository_reader import Published, read

MOST_LOST: Final = 0.005

_BATCH: Final = 32


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a graph can be put in.

    `make` takes the graph and about `examples` training pictures, evenly over the classes, and gives the new
    graph and the rewrites that it took. `tolerance` is a part of the largest golden answer.
    """

    method: str
    make: Callable[[bytes, NDArray[np.uint8]], tuple[bytes, tuple[str, ...]]]
    examples: int
    tolerance: float


FORMS: Final[Mapping[str, Form]] = {
    # Other CPUs round a sum to the next step now and then.
    "int8": Form(method=INT8, make=quantized, examples=512, tolerance=0.05),
    # A CPU computes with 32 bits what a device computes with 16.
    "float16": Form(method=HALF, make=halved, examples=0, tolerance=0.02),
}


@dataclass(frozen=True, kw_only=True)
class Order:
    """What was asked for: a version of `name` (None: the highest of full precision) in one of FORMS."""

    models: Path
    name: str
    version: str | None = None
    precision: str = "int8"
    data: Path | None = None


def export(order: Order, report: TextIO) -> Path:
    """Publish a version in another form as the next; return its directory.

    Raises:
        ExportError: a step failed, or the accuracy fell by more than `MOST_LOST`; nothing is published.
    """
    form = FORMS[order.precision]
    parent = read(order.models, order.name, order.version)
    _check(parent)
    check_writable(order.models)
    dataset = None if parent.manifest.weights == "random" else _load(parent.manifest, order.data)
    pictures = _pictures(parent, dataset, form.examples)
    graph, rewrites = form.make(parent.graph, pictures)
    before = after = None
    if dataset is not None:
        before, after = (_evaluate(each, dataset, parent.manifest) for each in (parent.graph, graph))
        _check_accuracy(before, after, order.precision)
    _tell(report, order.precision, parent, graph, before, after)
    answers = Session(graph).run(parent.golden_inputs)
    manifest = replace(
        parent.manifest,
        tolerance=form.tolerance * float(np.abs(answers).max()),
        evaluation=after,
        parity=None,
        calibration=None,
        rewrites=(*parent.manifest.rewrites, *rewrites),
        quantization=Quantization(
            parent=parent.version,
            method=form.method,
            calibration_examples=len(pictures),
            parent_accuracy=None if before is None else before.accuracy,
        ),
    )
    manifest, files = _with_example(parent, manifest, graph)
    files[model_card.FILE] = model_card.written(manifest, []).encode()
    return publish(order.models, manifest, graph, parent.golden_inputs, answers, files)


def _check(parent: Published) -> None:
    spec, name = parent.manifest.input, parent.manifest.name
    if parent.manifest.output.kind == "maps":
        raise ManifestError(f"{name} gives maps: there is no accuracy to hold another form against")
    if spec.dtype != "uint8" or spec.layout != "NHWC":
        raise ManifestError(
            f"{name} takes {spec.dtype} {spec.layout}; only graphs that take pixels are quantised: uint8 NHWC"
        )
    if parent.manifest.quantization is not None:
        raise ManifestError(f"version {parent.version} of {name} is quantised already")


def _load(manifest: Manifest, data: Path | None) -> Dataset:
    from .recipes import RECIPES, pictures

    size = Size.of(manifest.input)
    dataset = RECIPES[manifest.name].load(data, size) if manifest.name in RECIPES else pictures(data, size)
    if dataset.labels != manifest.labels:
        raise DatasetError(
            f"{dataset.name} has {len(dataset.labels):,} classes that are not the {len(manifest.labels):,} "
            f"of {manifest.name}"
        )
    return replace(dataset, train=dataset.train.sized(size), test=dataset.test.sized(size))


def _pictures(parent: Published, dataset: Dataset | None, count: int) -> NDArray[np.uint8]:
    """Training pictures; golden ones where there are none."""
    if dataset is None or not count:
        return parent.golden_inputs[:count]
    return _calibration(dataset.train, count)


def _calibration(train: Examples, count: int) -> NDArray[np.uint8]:
    chosen = train.limit(max(1, count // len(np.unique(train.labels))))
    pixels, _ = chosen.read(np.arange(len(chosen)))
    return pixels


def _evaluate(graph: bytes, dataset: Dataset, manifest: Manifest) -> Evaluation:
    session = Session(graph)
    answers, kept = [], []
    for indices in dataset.test.batches(_BATCH):
        pixels, found = dataset.test.read(indices)
        if len(found):
            answers.append(session.run(pixels))
            kept.append(found)
    scores, which = np.concatenate(answers), np.concatenate(kept)
    probabilities = _softmax(scores) if manifest.output.kind == "logits" else scores
    return verify.evaluate(probabilities, dataset.test.take(which), dataset.name)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _check_accuracy(before: Evaluation, after: Evaluation, precision: str) -> None:
    if before.accuracy - after.accuracy > MOST_LOST:
        raise VerificationError(
            f"in {precision} the accuracy falls from {before.accuracy:.2%} to {after.accuracy:.2%} on "
            f"{after.examples:,} pictures; at most {MOST_LOST:.1%} may be lost, and nothing is published"
        )


def _with_example(parent: Published, manifest: Manifest, graph: bytes) -> tuple[Manifest, dict[str, bytes]]:
    """The parent's picture to try, and the label that it gets now."""
    from PIL import Image

    example = manifest.example
    if example is None:
        return manifest, {}
    path = parent.folder / example.file
    with Image.open(path) as picture:
        pixels = np.asarray(picture).reshape(1, picture.height, picture.width, -1)
    if pixels.shape[1:] == manifest.input.shape():
        label = manifest.labels[int(Session(graph).run(pixels).argmax())]
        manifest = replace(manifest, example=replace(example, label=label))
    return manifest, {example.file: path.read_bytes()}


def _tell(
    report: TextIO,
    precision: str,
    parent: Published,
    graph: bytes,
    before: Evaluation | None,
    after: Evaluation | None,
) -> None:
    worth = (
        f"accuracy {after.accuracy:.2%}, {before.accuracy:.2%} before, on {after.examples:,} test pictures"
        if before is not None and after is not None
        else "random weights, so no accuracy"
    )
    share = len(graph) / len(parent.graph)
    report.write(
        f"{precision} graph of {len(graph):,} bytes, {share:.0%} of version {parent.version}; {worth}\n"
    )
    report.flush()
