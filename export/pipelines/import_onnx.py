"""Validates and publishes an ONNX classifier from another source."""

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
from ..graph.external_data import external_tensors
from ..graph.ort_session import OrtSession, TensorSpec
from ..repository.manifest import InputSpec, Manifest, OutputSpec
from ..repository.publish import check_writable, publish

Layout = Literal["NHWC", "NCHW"]
OutputKind = Literal["probabilities", "logits"]

MAX_BATCH_SIZE: Final = 16

# Relative to the largest output: other CPUs sum in another order.
_TOLERANCE: Final = 1e-3
_SUM_TOLERANCE: Final = 1e-3


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """The command-line options of `import`; None means inferred from the graph.

    Attributes:
        graph: the ONNX file.
        labels: a text file with one label per line, in the order of the classes.
        models: the model repository.
        name: the model's name; None for that of the file.
        description: one sentence for the manifest.
        layout: the order of the input axes.
        dtype: the expected dtype of the input.
        size: height and width of the input; required if they are dynamic in the graph.
        resize: how the server resizes images.
        scale, mean, std: the preprocessing of float32 inputs, `(pixel * scale - mean) / std`.
        output: what the graph returns.
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
    output: OutputKind | None = None


def import_onnx(options: ImportOptions, report: TextIO) -> Path:
    """Validate an ONNX classifier and publish it as the next version of its name.

    Returns:
        The folder of the new version.

    Raises:
        ExportError: the graph cannot be read or run, or contradicts the options; nothing is published.
    """
    graph, model = _load_graph(options.graph)
    labels = _load_labels(options.labels)
    check_writable(options.models)
    session = OrtSession(graph)
    spec = _input_spec(session.input, options)
    max_batch_size = _max_batch_size(session)
    inputs = preprocess(_test_images(spec), spec)
    outputs = session.run_batches(inputs, batch_size=1)
    _check_outputs(outputs, labels, options.labels)
    if max_batch_size > 1:
        _check_batch_independence(session.run(inputs), outputs)
    kind = _output_kind(outputs, options.output)
    manifest = Manifest(
        name=options.name or _default_name(options.graph),
        description=options.description or f"Imported from {options.graph.name}.",
        input=spec,
        output=OutputSpec(session.output.name, kind),
        labels=labels,
        max_batch_size=max_batch_size,
        opset=_opset(model),
        parameters=_parameters(model),
        tolerance=_TOLERANCE * max(float(np.abs(outputs).max()), 1e-3),
        weights="imported",
    )
    size = f"{spec.height}x{spec.width}x{spec.channels}"
    report.write(
        f"input {spec.dtype} {spec.layout} {size}, output {kind} of {len(labels):,} classes, "
        f"maximum batch size {max_batch_size}\n"
    )
    return publish(options.models, manifest, graph, inputs, outputs)


def preprocess(pixels: NDArray[np.uint8], spec: InputSpec) -> NDArray[Any]:
    """Convert images to inputs of a graph, in the same way as the server.

    Args:
        pixels: [images, height, width, channels].
        spec: the input of the graph.

    Returns:
        The inputs in the dtype and layout of `spec`.
    """
    values: NDArray[Any] = pixels
    if spec.dtype == "float32":
        values = pixels.astype(np.float32) * np.float32(1 if spec.scale is None else spec.scale)
        values = (values - np.array(spec.mean or 0, np.float32)) / np.array(spec.std or 1, np.float32)
    return values if spec.layout == "NHWC" else np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def _load_graph(path: Path) -> tuple[bytes, onnx.ModelProto]:
    try:
        graph = path.read_bytes()
        model = onnx.load_from_string(graph)
    except OSError as error:
        raise ConversionError(f"{path} cannot be read: {error.strerror}") from error
    except (DecodeError, ValueError) as error:
        raise ConversionError(f"{path} is not an ONNX file: {error}") from error
    if not model.graph.output:
        raise ConversionError(f"{path} is not an ONNX file: it has no output")
    if any(external_tensors(model)):
        raise ConversionError(f"{path} stores its weights in external files; save the model as one file")
    return graph, model


def _load_labels(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not UTF-8: {error}") from error
    labels = tuple(line.strip() for line in lines)
    while labels and not labels[-1]:
        labels = labels[:-1]
    if not all(labels):
        raise ManifestError(f"{path}, line {labels.index('') + 1}: empty line; expected one label per line")
    return labels


def _input_spec(tensor: TensorSpec, options: ImportOptions) -> InputSpec:
    if tensor.dtype not in ("uint8", "float32"):
        raise ManifestError(
            f"the graph's input {tensor.name!r} has dtype {tensor.dtype}; expected uint8 or float32"
        )
    if options.dtype not in (None, tensor.dtype):
        raise ManifestError(
            f"the graph's input {tensor.name!r} has dtype {tensor.dtype}, not {options.dtype}"
        )
    if len(tensor.shape) != 4:
        raise ManifestError(
            f"the graph's input {tensor.name!r} has shape {_format_shape(tensor.shape)}; expected four axes"
        )
    layout = options.layout or _infer_layout(tensor)
    height, width, channels = tensor.shape[1:] if layout == "NHWC" else (*tensor.shape[2:], tensor.shape[1])
    if options.size is not None:
        if any(axis not in (None, side) for axis, side in zip((height, width), options.size, strict=True)):
            raise ManifestError(
                f"the graph's input is {height}x{width}, not {options.size[0]}x{options.size[1]}"
            )
        height, width = options.size
    if height is None or width is None:
        raise ManifestError("the height and width of the graph's input are dynamic; set them with --size")
    if channels not in (1, 3):
        raise ManifestError(
            f"as {layout}, the graph's input {_format_shape(tensor.shape)} has {channels or 'any number of'} "
            "channels; expected 1 or 3"
        )
    spec = InputSpec(tensor.name, tensor.dtype, layout, height, width, channels, options.resize)  # type: ignore[arg-type]
    if options.std is not None and not all(options.std):
        raise ManifestError("--std contains a zero")
    return replace(spec, scale=options.scale, mean=options.mean, std=options.std)


def _infer_layout(tensor: TensorSpec) -> Layout:
    first, last = tensor.shape[1] in (1, 3), tensor.shape[3] in (1, 3)
    if first == last:
        raise ManifestError(
            f"the layout of the graph's input {_format_shape(tensor.shape)} is ambiguous; "
            "set it with --layout"
        )
    return "NCHW" if first else "NHWC"


def _max_batch_size(session: OrtSession) -> int:
    (input_batch,), (output_batch,) = session.input.shape[:1], session.output.shape[:1]
    if input_batch is None and output_batch is None:
        return MAX_BATCH_SIZE
    if input_batch == 1 and output_batch in (None, 1):
        return 1
    raise ManifestError(
        f"the graph's input has batch size {input_batch or 'dynamic'} and its output "
        f"{output_batch or 'dynamic'}; the batch axis must be dynamic or 1"
    )


def _test_images(spec: InputSpec) -> NDArray[np.uint8]:
    """Return black, white, a gradient and noise: uint8, [4, height, width, channels]."""
    assert spec.height is not None
    assert spec.width is not None
    shape = (spec.height, spec.width, spec.channels)
    gradient = np.linspace(0, 255, spec.width, dtype=np.uint8)[np.newaxis, :, np.newaxis]
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return np.stack(
        [np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8), np.broadcast_to(gradient, shape), noise]
    )


def _check_outputs(outputs: NDArray[np.float32], labels: Sequence[str], path: Path) -> None:
    if outputs.dtype != np.float32 or outputs.ndim != 2:
        raise ManifestError(
            f"the graph returns {outputs.dtype} {list(outputs.shape)}; "
            "expected the output of a classifier, float32 [batch, classes]"
        )
    if outputs.shape[1] != len(labels):
        raise ManifestError(
            f"the graph has {outputs.shape[1]:,} classes, but {path} has {len(labels):,} labels"
        )
    if not np.isfinite(outputs).all():
        raise VerificationError("the graph returns NaN or infinity for test images")


def _check_batch_independence(batched: NDArray[np.float32], single: NDArray[np.float32]) -> None:
    if batched.shape != single.shape or not np.allclose(
        batched, single, rtol=_TOLERANCE, atol=_TOLERANCE * float(np.abs(single).max())
    ):
        raise VerificationError("the graph's output for an image depends on the other images of the batch")


def _output_kind(outputs: NDArray[np.float32], expected: OutputKind | None) -> OutputKind:
    sums = outputs.sum(axis=1)
    are_probabilities = bool(outputs.min() >= 0 and np.allclose(sums, 1, atol=_SUM_TOLERANCE))
    if expected == "probabilities" and not are_probabilities:
        raise ManifestError(
            f"the graph does not return probabilities: they sum to {sums.min():.3g} to {sums.max():.3g}"
        )
    return expected or ("probabilities" if are_probabilities else "logits")


def _default_name(path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("._-")[:64] or "imported"


def _opset(model: onnx.ModelProto) -> int:
    return next((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), 1)


def _parameters(model: onnx.ModelProto) -> int:
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    tensors = [tensor for tensor in model.graph.initializer if tensor.data_type in floats]
    return sum(int(np.prod(tensor.dims)) for tensor in tensors)


def _format_shape(axes: Sequence[int | None]) -> str:
    return "[" + ", ".join("?" if axis is None else str(axis) for axis in axes) + "]"
