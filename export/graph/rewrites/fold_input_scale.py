"""Scales pixels by the first convolution's weights: one pass over the input less for each step."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from .graph_index import View, attribute, without_padding

_CHANNELS_FIRST = [0, 3, 1, 2]


def into_convolution(view: View) -> bool:
    """Mul by or Add of a constant a channel, then Conv: the Conv alone, with other weights.

    Between them the picture may be brought from channels last to channels first. An addition stays where the
    convolution is padded, for nothing was added to the zeros round the picture.
    """
    for conv in view.nodes:
        kernel = view.constant(conv.input[1]) if conv.op_type == "Conv" else None
        if kernel is None or attribute(conv, "group", 1) != 1:
            continue
        move = _move(view, conv.input[0], kernel.shape[1])
        scaling = _scaling(view, conv.input[0] if move is None else move.input[0])
        if scaling is None or (scaling.op_type != "Mul" and not without_padding(conv)):
            continue
        values = _by_channel(view.constant(scaling.input[1]), kernel.shape[1], last=move is not None)
        if values is None:
            continue
        weights = _absorbed(view, conv, kernel, scaling.op_type, values)
        if move is None:
            new = [_with_inputs(conv, scaling.input[0], *weights)]
        else:
            moved = helper.make_node(move.op_type, [scaling.input[0], *move.input[1:]], list(move.output))
            moved.attribute.extend(move.attribute)
            new = [moved, _with_inputs(conv, conv.input[0], *weights)]
        view.replace([scaling, *([move] if move is not None else []), conv], new)
        return True
    return False


def _move(view: View, value: str, channels: int) -> onnx.NodeProto | None:
    """The node that makes channels first of channels last: of one channel a Reshape can do it."""
    turn = view.sole_maker(value, "Transpose")
    if turn is not None and attribute(turn, "perm", None) == _CHANNELS_FIRST:
        return turn
    return view.sole_maker(value, "Reshape") if channels == 1 else None


def _scaling(view: View, value: str) -> onnx.NodeProto | None:
    nodes = (view.sole_maker(value, kind) for kind in ("Mul", "Add", "Sub"))
    return next((node for node in nodes if node is not None), None)


def _by_channel(values: NDArray[Any] | None, channels: int, *, last: bool) -> NDArray[np.float64] | None:
    """One value a channel, of a constant that lies along the channels or is the same for all."""
    if values is None:
        return None
    if values.size == 1:
        return np.full(channels, values.item(), np.float64)
    axis = values.ndim - (1 if last else 3)
    along = axis >= 0 and values.size == values.shape[axis] == channels
    return values.reshape(-1).astype(np.float64) if along else None


def _absorbed(
    view: View, conv: onnx.NodeProto, kernel: NDArray[Any], kind: str, values: NDArray[np.float64]
) -> list[str]:
    """The names of the convolution's new kernel and bias."""
    if kind == "Mul":
        scaled = kernel * values.reshape(1, -1, *(1,) * (kernel.ndim - 2))
        return [view.new_constant("scaled", scaled.astype(kernel.dtype)), *conv.input[2:]]
    bias = view.constant(conv.input[2]) if len(conv.input) > 2 else None
    added = kernel.astype(np.float64).sum(axis=tuple(range(2, kernel.ndim))) @ values
    total = (added if kind == "Add" else -added) + (0 if bias is None else bias)
    return [conv.input[1], view.new_constant("shifted", total.astype(kernel.dtype))]


def _with_inputs(conv: onnx.NodeProto, *inputs: str) -> onnx.NodeProto:
    changed = helper.make_node("Conv", inputs, list(conv.output))
    changed.attribute.extend(conv.attribute)
    return changed
