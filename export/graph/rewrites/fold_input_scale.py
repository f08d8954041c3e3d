"""Folds the scaling of pixels into the first convolution, which saves passes over the input."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from .graph_index import GraphIndex, attribute, is_unpadded

_CHANNELS_FIRST = [0, 3, 1, 2]


def fold_into_convolution(index: GraphIndex) -> bool:
    """Fold a Mul, Add or Sub with a constant per channel into the weights of the following Conv.

    A layout change may lie between them. An addition before a padded convolution is kept, because nothing is
    added to the padding.
    """
    for conv in index.nodes:
        kernel = index.constant(conv.input[1]) if conv.op_type == "Conv" else None
        if kernel is None or attribute(conv, "group", 1) != 1:
            continue
        layout = _match_layout_change(index, conv.input[0], kernel.shape[1])
        scaling = _match_scaling(index, conv.input[0] if layout is None else layout.input[0])
        if scaling is None or (scaling.op_type != "Mul" and not is_unpadded(conv)):
            continue
        values = _by_channel(
            index.constant(scaling.input[1]), kernel.shape[1], channels_last=layout is not None
        )
        if values is None:
            continue
        weights = _folded_weights(index, conv, kernel, scaling.op_type, values)
        if layout is None:
            new = [_with_inputs(conv, scaling.input[0], *weights)]
        else:
            new_layout = helper.make_node(
                layout.op_type, [scaling.input[0], *layout.input[1:]], list(layout.output)
            )
            new_layout.attribute.extend(layout.attribute)
            new = [new_layout, _with_inputs(conv, conv.input[0], *weights)]
        index.replace([scaling, *([layout] if layout is not None else []), conv], new)
        return True
    return False


def _match_layout_change(index: GraphIndex, value: str, channels: int) -> onnx.NodeProto | None:
    """Return the node that changes channels last to channels first; with one channel it can be a Reshape."""
    transpose = index.sole_producer(value, "Transpose")
    if transpose is not None and attribute(transpose, "perm", None) == _CHANNELS_FIRST:
        return transpose
    return index.sole_producer(value, "Reshape") if channels == 1 else None


def _match_scaling(index: GraphIndex, value: str) -> onnx.NodeProto | None:
    nodes = (index.sole_producer(value, op_type) for op_type in ("Mul", "Add", "Sub"))
    return next((node for node in nodes if node is not None), None)


def _by_channel(
    values: NDArray[Any] | None, channels: int, *, channels_last: bool
) -> NDArray[np.float64] | None:
    """Return one value per channel of a scalar or a constant along the channel axis, otherwise None."""
    if values is None:
        return None
    if values.size == 1:
        return np.full(channels, values.item(), np.float64)
    axis = values.ndim - (1 if channels_last else 3)
    per_channel = axis >= 0 and values.size == values.shape[axis] == channels
    return values.reshape(-1).astype(np.float64) if per_channel else None


def _folded_weights(
    index: GraphIndex, conv: onnx.NodeProto, kernel: NDArray[Any], op_type: str, values: NDArray[np.float64]
) -> list[str]:
    """Return the names of the convolution's new kernel and bias."""
    if op_type == "Mul":
        scaled = kernel * values.reshape(1, -1, *(1,) * (kernel.ndim - 2))
        return [index.new_constant("scaled", scaled.astype(kernel.dtype)), *conv.input[2:]]
    bias = index.constant(conv.input[2]) if len(conv.input) > 2 else None
    added = kernel.astype(np.float64).sum(axis=tuple(range(2, kernel.ndim))) @ values
    total = (added if op_type == "Add" else -added) + (0 if bias is None else bias)
    return [conv.input[1], index.new_constant("shifted", total.astype(kernel.dtype))]


def _with_inputs(conv: onnx.NodeProto, *inputs: str) -> onnx.NodeProto:
    copy = helper.make_node("Conv", inputs, list(conv.output))
    copy.attribute.extend(conv.attribute)
    return copy
