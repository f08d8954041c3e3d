"""Makes an int8 version of a published model: a quarter of the size, and less to compute.

Static quantisation in the QDQ format (B. Jacob et al., CVPR 2018; onnxruntime.quantization): weights int8 a
channel, of seven bits, for the products of eight saturate where a CPU has AVX2 and no VNNI; activations
uint8, their ranges from training pictures. Response normalisation stays in float32, for its squares range too
far; the pixels stay as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TextIO

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.checker import check_model

from . import verify
from .datasets import Dataset, Examples
from .errors import ConversionError, DatasetError, ManifestError, VerificationError
from .graph import tidy
from .manifest import Evaluation, InputSpec, Manifest, Quantization
from .pictures import Size
from .publish import check_writable, publish
from .published import Published, read
from .rewrites import CHANNELS_LAST, FASTER, PIXELS, WHOLE, rewrite
from .session import Session

METHOD: Final = "static, QDQ, int8 weights a channel in 7 bits, uint8 activations, MinMax"
MOST_LOST: Final = 0.005

# Training pictures that the ranges of activations are taken from, evenly over the classes.
EXAMPLES: Final = 512

# Of the largest golden answer. Other CPUs round a sum to the next step now and then.
_TOLERANCE: Final = 0.05

_BATCH: Final = 32
_KINDS: Final = ["Conv", "MatMul", "Gemm", "MaxPool", "Relu", "Reshape"]


def export(models: Path, name: str, version: str | None, data: Path | None, report: TextIO) -> Path:
    """Quantise a version of `name` and publish it as the next; return its directory.

    Raises:
        ExportError: a step failed, or the accuracy fell by more than `MOST_LOST`; nothing is published.
    """
    parent = read(models, name, version)
    _check(parent)
    check_writable(models)
    dataset = None if parent.manifest.weights == "random" else _load(parent.manifest, data)
    pictures = parent.golden_inputs if dataset is None else _calibration(dataset.train)
    graph, rewrites = quantized(parent.graph, pictures)
    before = after = None
    if dataset is not None:
        before, after = (_evaluate(each, dataset, parent.manifest) for each in (parent.graph, graph))
        _check_accuracy(before, after)
    _tell(report, parent, graph, before, after)
    answers = Session(graph).run(parent.golden_inputs)
    manifest = replace(
        parent.manifest,
        tolerance=_TOLERANCE * float(np.abs(answers).max()),
        evaluation=after,
        parity=None,
        calibration=None,
        rewrites=(*parent.manifest.rewrites, *rewrites),
        quantization=Quantization(
            parent=parent.version,
            method=METHOD,
            calibration_examples=len(pictures),
            parent_accuracy=None if before is None else before.accuracy,
        ),
    )
    manifest, files = _with_example(parent, manifest, graph)
    return publish(models, manifest, graph, parent.golden_inputs, answers, files)


def quantized(graph: bytes, pictures: NDArray[np.uint8]) -> tuple[bytes, tuple[str, ...]]:
    """The graph in int8, with the ranges that these pictures make, and the rewrites before and after.

    Raises:
        ConversionError: it cannot be quantised.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    before = rewrite(graph, [WHOLE, *FASTER, CHANNELS_LAST])
    model = onnx.load_from_string(before.graph)
    pixels, first = model.graph.input[0].name, _first_values(model)
    with TemporaryDirectory() as folder, _silence():
        path = Path(folder) / "int8.onnx"
        try:
            quantize_static(
                model,
                path,
                _Reader(pixels, pictures),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=_KINDS,
                nodes_to_exclude=_in_float(model),
                extra_options={"TensorQuantOverrides": {name: [_AS_THEY_ARE] for name in first}},
            )
        except Exception as error:  # the quantiser raises all kinds on what it does not know
            raise ConversionError(f"the graph cannot be quantised: {error}") from error
        model = onnx.load(path)
    tidy(model, model.graph.name, [pixels], [value.name for value in model.graph.output])
    check_model(model)
    after = rewrite(bytes(model.SerializeToString(deterministic=True)), [PIXELS])
    return after.graph, before.rewrites + after.rewrites


# One step a grey level: the pixels are int8 already.
_AS_THEY_ARE: Final = {"rmin": np.float32(0), "rmax": np.float32(255)}


class _Reader:
    """What the quantiser calls for pictures until there are none."""

    def __init__(self, name: str, pictures: NDArray[np.uint8]) -> None:
        starts = range(0, len(pictures), _BATCH)
        self._batches = iter([{name: pictures[start : start + _BATCH]} for start in starts])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return next(self._batches, None)


def _first_values(model: onnx.ModelProto) -> list[str]:
    """The values that are the pixels themselves, as floats, where a convolution takes them."""
    values = {model.graph.input[0].name}
    taken = []
    for node in model.graph.node:
        if node.input[0] in values and node.op_type in ("Cast", "Transpose", "Reshape"):
            values.update(node.output)
        elif node.input[0] in values and node.op_type == "Conv":
            taken.append(node.input[0])
    return taken


def _in_float(model: onnx.ModelProto) -> list[str]:
    """The nodes that only move a normalisation's values: quantised, they would be rounded once more."""
    products = {node.input[0] for node in model.graph.node if node.op_type in ("MatMul", "Gemm")}
    moves = (node for node in model.graph.node if node.op_type == "Reshape")
    return [node.name for node in moves if node.output[0] not in products]


def _check(parent: Published) -> None:
    spec, name = parent.manifest.input, parent.manifest.name
    if parent.manifest.output.kind == "maps":
        raise ManifestError(f"{name} gives maps: there is no accuracy to hold its int8 form against")
    if spec.dtype != "uint8" or spec.layout != "NHWC":
        raise ManifestError(
            f"{name} takes {spec.dtype} {spec.layout}; only graphs that take pixels are quantised: uint8 NHWC"
        )
    if parent.manifest.quantization is not None:
        raise ManifestError(f"version {parent.version} of {name} is quantised already")


def _load(manifest: Manifest, data: Path | None) -> Dataset:
    from .recipes import RECIPES, pictures

    size = _size(manifest.input)
    dataset = RECIPES[manifest.name].load(data, size) if manifest.name in RECIPES else pictures(data, size)
    if dataset.labels != manifest.labels:
        raise DatasetError(
            f"{dataset.name} has {len(dataset.labels):,} classes that are not the {len(manifest.labels):,} "
            f"of {manifest.name}"
        )
    return replace(dataset, train=dataset.train.sized(size), test=dataset.test.sized(size))


def _size(spec: InputSpec) -> Size:
    assert spec.height is not None
    assert spec.width is not None
    return Size(spec.height, spec.width, spec.channels, spec.resize)


def _calibration(train: Examples) -> NDArray[np.uint8]:
    chosen = train.limit(max(1, EXAMPLES // len(np.unique(train.labels))))
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


def _check_accuracy(before: Evaluation, after: Evaluation) -> None:
    if before.accuracy - after.accuracy > MOST_LOST:
        raise VerificationError(
            f"in int8 the accuracy falls from {before.accuracy:.2%} to {after.accuracy:.2%} on "
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
    report: TextIO, parent: Published, graph: bytes, before: Evaluation | None, after: Evaluation | None
) -> None:
    worth = (
        f"accuracy {after.accuracy:.2%}, {before.accuracy:.2%} before, on {after.examples:,} test pictures"
        if before is not None and after is not None
        else "random weights, so no accuracy"
    )
    share = len(graph) / len(parent.graph)
    report.write(f"int8 graph of {len(graph):,} bytes, {share:.0%} of version {parent.version}; {worth}\n")
    report.flush()


@contextmanager
def _silence() -> Iterator[None]:
    """Without the quantiser's advice, which it gives through the root logger."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)
