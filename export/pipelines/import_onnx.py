"""Publishes an ONNX classifier made elsewhere, once it is known to load, to run and to fit its labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TextIO

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from ..errors import ConversionError, ManifestError, VerificationError
from ..graph.ort_session import Port, Session
from ..repository.manifest import InputSpec, Manifest, OutputSpec
from ..repository.publish import check_writable, publish

Layout = Literal["NHWC", "NCHW"]
Kind = Literal["probabilities", "logits"]

MOST_AT_ONCE: Final = 16

# Of the largest answer; other CPUs add in another order.
_TOLERANCE: Final = 1e-3
_SUM_TOLERANCE: Final = 1e-3


@dataclass(frozen=True, kw_only=True)
class Order:
    """What was asked for on the command line; None is to be found out from the graph.

    `scale`, `mean` and `std` are what the manifest has: `(pixel * scale - mean) / std`, for float32 alone.
    """

    graph: Path
    labels: Path
    models: Path
    name: str | None = None
    description: str | None = None
    layout: Layout | None = None
    dtype: Literal["uint8", "float32"] | None = None
    size: tuple[int, int] | None = None
    resize: Literal["fit", "stretch", "crop"] = "crop"
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    output: Kind | None = None


def export(order: Order, report: TextIO) -> Path:
    """Check the graph and publish it as the next version of its name; return the version's directory.

    Raises:
        ExportError: it cannot be read or run, or does not fit what was said of it; nothing is published.
    """
    graph, model = _graph(order.graph)
    labels = _labels(order.labels)
    check_writable(order.models)
    session = Session(graph)
    spec = _input(session.input, order)
    batch = _batch(session)
    inputs = prepared(_pictures(spec), spec)
    answers = np.concatenate([session.run(inputs[place : place + 1]) for place in range(len(inputs))])
    _check_answers(answers, labels, order.labels)
    if batch > 1:
        _check_rows(session.run(inputs), answers)
    kind = _kind(answers, order.output)
    manifest = Manifest(
        name=order.name or _name(order.graph),
        description=order.description or f"Imported from {order.graph.name}.",
        input=spec,
        output=OutputSpec(session.output.name, kind),
        labels=labels,
        max_batch_size=batch,
        opset=_opset(model),
        parameters=_parameters(model),
        tolerance=_TOLERANCE * max(float(np.abs(answers).max()), 1e-3),
        weights="imported",
    )
    size = f"{spec.height}x{spec.width}x{spec.channels}"
    report.write(
        f"{spec.dtype} {spec.layout} of {size} in, {kind} of {len(labels):,} classes out, "
        f"at most {batch} at once\n"
    )
    return publish(order.models, manifest, graph, inputs, answers)


def prepared(pixels: NDArray[np.uint8], spec: InputSpec) -> NDArray[Any]:
    """Pictures, [pictures, height, width, channels], as the graph takes them, as the server does it."""
    values: NDArray[Any] = pixels
    if spec.dtype == "float32":
        values = pixels.astype(np.float32) * np.float32(1 if spec.scale is None else spec.scale)
        values = (values - np.array(spec.mean or 0, np.float32)) / np.array(spec.std or 1, np.float32)
    return values if spec.layout == "NHWC" else np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def _graph(path: Path) -> tuple[bytes, onnx.ModelProto]:
    try:
        graph = path.read_bytes()
        model = onnx.load_from_string(graph)
    except OSError as error:
        raise ConversionError(f"{path} cannot be read: {error.strerror}") from error
    except (DecodeError, ValueError) as error:
        raise ConversionError(f"{path} is no ONNX file: {error}") from error
    if not model.graph.output:
        raise ConversionError(f"{path} is no ONNX file: it has no output")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise ConversionError(f"{path} keeps its weights in other files; save the model as one file")
    return graph, model


def _labels(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not UTF-8: {error}") from error
    labels = tuple(line.strip() for line in lines)
    while labels and not labels[-1]:
        labels = labels[:-1]
    if not all(labels):
        raise ManifestError(f"{path} has an empty line at {labels.index('') + 1}; it needs one label a line")
    return labels


def _input(port: Port, order: Order) -> InputSpec:
    if port.dtype not in ("uint8", "float32"):
        raise ManifestError(
            f"the graph's input {port.name!r} is of {port.dtype}; uint8 and float32 are served"
        )
    if order.dtype not in (None, port.dtype):
        raise ManifestError(f"the graph's input {port.name!r} is {port.dtype}, and not {order.dtype}")
    if len(port.axes) != 4:
        raise ManifestError(
            f"the graph's input {port.name!r} has axes {_told(port.axes)}; pictures have four"
        )
    layout = order.layout or _layout(port)
    height, width, channels = port.axes[1:] if layout == "NHWC" else (*port.axes[2:], port.axes[1])
    if order.size is not None:
        if any(axis not in (None, side) for axis, side in zip((height, width), order.size, strict=True)):
            raise ManifestError(f"the graph takes {height}x{width}, and not {order.size[0]}x{order.size[1]}")
        height, width = order.size
    if height is None or width is None:
        raise ManifestError(
            "the graph takes any height and width; say by --size which a picture is brought to"
        )
    if channels not in (1, 3):
        raise ManifestError(
            f"as {layout} the graph's input {_told(port.axes)} has {channels or 'any number of'} channels; "
            "pictures have 1 or 3"
        )
    spec = InputSpec(port.name, port.dtype, layout, height, width, channels, order.resize)  # type: ignore[arg-type]
    if order.std is not None and not all(order.std):
        raise ManifestError("--std holds a zero")
    return replace(spec, scale=order.scale, mean=order.mean, std=order.std)


def _layout(port: Port) -> Layout:
    """Where the channels are, if that can be told."""
    first, last = port.axes[1] in (1, 3), port.axes[3] in (1, 3)
    if first == last:
        raise ManifestError(
            f"the axes {_told(port.axes)} of the graph's input do not tell where the channels are; "
            "say it by --layout"
        )
    return "NCHW" if first else "NHWC"


def _batch(session: Session) -> int:
    """How many pictures at once: one where the graph has that fixed."""
    (given,), (answered,) = session.input.axes[:1], session.output.axes[:1]
    if given is None and answered is None:
        return MOST_AT_ONCE
    if given == 1 and answered in (None, 1):
        return 1
    raise ManifestError(
        f"the graph takes batches of {given or 'any number'} and answers {answered or 'any number'}; "
        "the batch axis is to be free, or 1"
    )


def _pictures(spec: InputSpec) -> NDArray[np.uint8]:
    """Black, white, a slope and noise: uint8 of [4, height, width, channels]."""
    assert spec.height is not None
    assert spec.width is not None
    shape = (spec.height, spec.width, spec.channels)
    slope = np.linspace(0, 255, spec.width, dtype=np.uint8)[np.newaxis, :, np.newaxis]
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return np.stack(
        [np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8), np.broadcast_to(slope, shape), noise]
    )


def _check_answers(answers: NDArray[np.float32], labels: Sequence[str], path: Path) -> None:
    if answers.dtype != np.float32 or answers.ndim != 2:
        raise ManifestError(
            f"the graph answers {answers.dtype} {list(answers.shape)}; a classifier answers float32 of "
            "[batch, classes]"
        )
    if answers.shape[1] != len(labels):
        raise ManifestError(
            f"the graph has {answers.shape[1]:,} classes, and {path} has {len(labels):,} labels"
        )
    if not np.isfinite(answers).all():
        raise VerificationError("the graph answers plain pictures with what is no number: NaN or infinity")


def _check_rows(together: NDArray[np.float32], alone: NDArray[np.float32]) -> None:
    if together.shape != alone.shape or not np.allclose(
        together, alone, rtol=_TOLERANCE, atol=_TOLERANCE * float(np.abs(alone).max())
    ):
        raise VerificationError("the graph answers a picture otherwise when others are in its batch")


def _kind(answers: NDArray[np.float32], told: Kind | None) -> Kind:
    sums = answers.sum(axis=1)
    are_probabilities = bool(answers.min() >= 0 and np.allclose(sums, 1, atol=_SUM_TOLERANCE))
    if told == "probabilities" and not are_probabilities:
        raise ManifestError(
            f"the graph's answers are no probabilities: they sum to {sums.min():.3g} to {sums.max():.3g}"
        )
    return told or ("probabilities" if are_probabilities else "logits")


def _name(path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("._-")[:64] or "imported"


def _opset(model: onnx.ModelProto) -> int:
    return next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 1)


def _parameters(model: onnx.ModelProto) -> int:
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    tensors = [tensor for tensor in model.graph.initializer if tensor.data_type in floats]
    return sum(int(np.prod(tensor.dims)) for tensor in tensors)


def _told(axes: Sequence[int | None]) -> str:
    return "[" + ", ".join("?" if axis is None else str(axis) for axis in axes) + "]"
