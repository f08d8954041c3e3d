"""Fits a graph to the server: pixels in, one row of float32 scores for each image out, a dynamic batch axis.

The graph as it came is the witness: for every drawn image, the fitted graph must return what the original
returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from ..errors import ConversionError, ManifestError, VerificationError
from ..graph import io_edits
from ..graph.float32 import has_doubles, to_float32
from ..graph.ort_session import OrtSession
from ..graph.preprocessing import draw_images, preprocess
from ..repository.io_spec import InputSpec, OutputSpec
from .input_plan import InputPlan, plan_input
from .label_file import check_count
from .onnx_file import opset_of, serialize
from .options import ImportOptions
from .score_kind import ScorePlan, plan_scores

MAX_BATCH_SIZE: Final = 16

# Relative to the largest output: other batch sizes and CPUs sum in another order.
TOLERANCE: Final = 1e-3
FLOAT16_TOLERANCE: Final = 2e-2


@dataclass(frozen=True, eq=False)
class FittedGraph:
    """A graph that the server can run, and that returned what its original returns.

    Attributes:
        graph: the ONNX file.
        input, output: its tensors.
        labels: the labels of the classes.
        max_batch_size: the largest batch.
        opset, parameters: for the manifest.
        tolerance: the largest difference from the golden outputs, relative to the largest of them.
        inputs: drawn images as inputs of the graph.
        outputs: what the original returns for them, [images, classes].
        scores: the operators that were added to the output.
        notes: sentences about what was changed.
    """

    graph: bytes
    input: InputSpec
    output: OutputSpec
    labels: tuple[str, ...]
    max_batch_size: int
    opset: int
    parameters: int
    tolerance: float
    inputs: NDArray[Any]
    outputs: NDArray[np.float32]
    scores: ScorePlan
    notes: tuple[str, ...]


def fit_graph(model: onnx.ModelProto, labels: Sequence[str], options: ImportOptions) -> FittedGraph:
    """Fit a graph with one output to the server, and compare it with itself as it came.

    Args:
        model: the graph; it is changed.
        labels: the labels of the classes.
        options: the options of the command line.

    Raises:
        ExportError: the graph cannot be run, contradicts the options, or returns something else after it was
            fitted.
    """
    notes: list[str] = []
    source = open_source(model, notes)
    plan = plan_input(source.input, options)
    inputs = preprocess(draw_images(plan.spec), plan.spec)
    found = run_source(source, plan, inputs)
    check_count(labels, found.shape[1], options.labels)
    scores = plan_scores(model, found, len(labels), options.output_kind)
    outputs = scores.apply(found)
    if added := scores.describe():
        notes.append(added)
    if np.ptp(outputs, axis=0).max() == 0:
        notes.append("the scores of black, white, a gradient and noise are all the same")

    max_batch_size = _fit_batch(model, plan, source, inputs, found, options.max_batch_size, notes)
    _fit_input(model, plan, notes)
    _fit_output(model, source, found.shape[1], scores)
    graph = serialize(model)
    _compare(OrtSession(graph), inputs, outputs, max_batch_size, _tolerance(model))
    return FittedGraph(
        graph=graph,
        input=plan.spec,
        output=OutputSpec(model.graph.output[0].name, scores.kind),
        labels=tuple(labels),
        max_batch_size=max_batch_size,
        opset=opset_of(model),
        parameters=_parameters(model),
        tolerance=_tolerance(model),
        inputs=inputs,
        outputs=outputs,
        scores=scores,
        notes=tuple(notes),
    )


def open_source(model: onnx.ModelProto, notes: list[str]) -> OrtSession:
    """Open the graph as it came; in float32 if ONNX Runtime cannot compute it in double precision.

    Raises:
        ConversionError: ONNX Runtime cannot load it.
    """
    try:
        return OrtSession(serialize(model))
    except ConversionError:
        if not has_doubles(model):
            raise
    to_float32(model)
    notes.append("its double precision is converted to float32")
    return OrtSession(serialize(model))


def run_source(source: OrtSession, plan: InputPlan, inputs: NDArray[Any]) -> NDArray[np.float32]:
    """Run the graph as it came on inputs in the form of the fitted graph, and return [images, classes].

    Raises:
        ManifestError: it does not return one row of scores for each image.
        VerificationError: it returns NaN or infinity.
    """
    size = plan.batch or 1
    rows = []
    for start in range(0, len(inputs), size):
        part = inputs[start : start + size]
        padded = np.concatenate([part, np.zeros_like(part, shape=(size - len(part), *part.shape[1:]))])
        rows.append(_rows(np.asarray(source.run(plan.original(padded))), size)[: len(part)])
    found = np.concatenate(rows)
    if not np.isfinite(found).all():
        raise VerificationError("the graph returns NaN or infinity for test images")
    return found


def _rows(output: NDArray[Any], count: int) -> NDArray[np.float32]:
    """Return the output as [images, classes]: all axes but two may have the size 1."""
    classes = [axis for axis in output.shape[1:] if axis != 1]
    if output.dtype.kind != "f" or output.ndim < 1 or len(output) != count or len(classes) > 1:
        raise ManifestError(
            f"the graph returns {output.dtype} {list(output.shape)} for {count} images; "
            "expected the output of a classifier, one row of scores for each image"
        )
    return output.reshape(count, -1).astype(np.float32)


def _fit_batch(
    model: onnx.ModelProto,
    plan: InputPlan,
    source: OrtSession,
    inputs: NDArray[Any],
    found: NDArray[np.float32],
    wanted: int | None,
    notes: list[str],
) -> int:
    """Make the batch axis dynamic, if necessary with padding; returns the largest batch."""
    if plan.batch is None and source.output.shape[:1] in ((), (None,)):
        if not _accepts_batches(model, plan, inputs, found):
            raise VerificationError(
                "the graph's output for an image depends on the other images of the batch"
            )
        return wanted or MAX_BATCH_SIZE
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    io_edits.free_batch(freed)
    if _accepts_batches(freed, plan, inputs, found):
        model.CopyFrom(freed)
        if plan.batch is not None:
            notes.append(f"its fixed batch of {plan.batch} is made dynamic")
        return wanted or MAX_BATCH_SIZE
    if plan.batch is None:
        raise ManifestError(
            f"the graph's input has a dynamic batch and its output one of {source.output.shape[0]}, and it "
            "does not run with others"
        )
    if wanted is not None and wanted > plan.batch:
        raise ManifestError(
            f"the graph runs only with its fixed batch of {plan.batch}; --max-batch-size can be at most that"
        )
    if plan.batch == 1:
        notes.append("it runs only with its fixed batch of 1, so the server cannot batch requests")
        return 1
    _upgrade(model)
    axes = [axis or side for axis, side in zip(source.input.shape[1:], _own_axes(plan), strict=True)]
    io_edits.pad_batch(model, axes)
    notes.append(f"smaller batches are padded to its fixed batch of {plan.batch}, and cost as much")
    return min(wanted or plan.batch, plan.batch)


def _own_axes(plan: InputPlan) -> Sequence[int]:
    return plan.axes or [axis for axis in plan.spec.shape() if axis is not None]


def _accepts_batches(
    model: onnx.ModelProto, plan: InputPlan, inputs: NDArray[Any], found: NDArray[np.float32]
) -> bool:
    """Run batches of several sizes; True if each image has the scores that it has alone."""
    try:
        session = OrtSession(serialize(model))
        for count in (1, len(inputs), len(inputs) - 1):
            rows = _rows(np.asarray(session.run(plan.original(inputs[:count]))), count)
            if not _close(rows, found[:count], _tolerance(model)):
                return False
    except (ConversionError, ManifestError):
        return False
    return True


def _fit_input(model: onnx.ModelProto, plan: InputPlan, notes: list[str]) -> None:
    wanted = TensorProto.UINT8 if plan.spec.dtype == "uint8" else TensorProto.FLOAT
    if model.graph.input[0].type.tensor_type.elem_type != wanted:
        io_edits.cast_input(model, wanted)
        notes.append(f"{plan.spec.dtype} pixels are cast to its {np.dtype(plan.dtype).name} input")
    if plan.axes is not None:
        io_edits.reshape_input(model, plan.spec.shape())
    if plan.channel_axis is not None:
        io_edits.reverse_channels(model, plan.channel_axis)
        notes.append("the colours are reversed from RGB to BGR in front of it")


def _fit_output(model: onnx.ModelProto, source: OrtSession, classes: int, scores: ScorePlan) -> None:
    if model.graph.output[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        io_edits.cast_output(model, TensorProto.FLOAT)
    if len(source.output.shape) != 2 or source.output.shape[1] != classes:
        io_edits.flatten_output(model, classes)
    if scores.sigmoid:
        io_edits.apply_sigmoid(model)
    if scores.complement:
        io_edits.add_complement(model)


def _compare(
    session: OrtSession,
    inputs: NDArray[Any],
    expected: NDArray[np.float32],
    max_batch_size: int,
    tolerance: float,
) -> None:
    """Check that the fitted graph returns what the original returns, one image at a time and all at once."""
    for size in {1, max_batch_size}:
        found = session.run_batches(inputs, batch_size=size)
        if not _close(found, expected, tolerance):
            difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else np.inf
            raise VerificationError(
                f"the fitted graph differs from the original by {difference:.1e} in batches of {size}"
            )


def _close(found: NDArray[Any], expected: NDArray[Any], tolerance: float) -> bool:
    reach = tolerance * float(np.abs(expected).max())
    return found.shape == expected.shape and np.allclose(found, expected, rtol=tolerance, atol=reach)


def _upgrade(model: onnx.ModelProto) -> None:
    """Convert a graph of an old opset to one in which the operators that are added have their inputs."""
    if opset_of(model) >= io_edits.MIN_OPSET:
        return
    from onnx.version_converter import convert_version

    try:
        model.CopyFrom(convert_version(model, io_edits.MIN_OPSET))
    except Exception as error:  # the converter raises many types
        raise ConversionError(
            f"the graph of opset {opset_of(model)} has a fixed batch and cannot be converted to opset "
            f"{io_edits.MIN_OPSET}; export it with a dynamic batch axis or a newer opset"
        ) from error


def _tolerance(model: onnx.ModelProto) -> float:
    half = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    is_half = any(tensor.data_type in half for tensor in model.graph.initializer)
    return FLOAT16_TOLERANCE if is_half else TOLERANCE


def _parameters(model: onnx.ModelProto) -> int:
    numbers = (
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
        TensorProto.BFLOAT16,
        TensorProto.DOUBLE,
        TensorProto.INT8,
        TensorProto.UINT8,
    )
    tensors = [tensor for tensor in model.graph.initializer if tensor.data_type in numbers]
    return sum(int(np.prod(tensor.dims)) for tensor in tensors)
