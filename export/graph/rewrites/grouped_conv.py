"""Convolutions side by side as one convolution in groups, which is what they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from .graph_index import View, attribute


def join(view: View) -> bool:
    """Split of the channels, a Conv (and Relu) a part, Concat: one Conv with a group a part (and Relu)."""
    for concat in view.nodes:
        if concat.op_type == "Concat" and attribute(concat, "axis", None) == 1:
            found = _branches(view, concat)
            if found is not None:
                view.replace(*found)
                return True
    return False


def _branches(
    view: View, concat: onnx.NodeProto
) -> tuple[Sequence[onnx.NodeProto], Sequence[onnx.NodeProto]] | None:
    relus = [view.sole_maker(value, "Relu") for value in concat.input]
    activated = all(relus)
    tops = [relu.input[0] for relu in relus if relu is not None] if activated else list(concat.input)
    convs = [conv for value in tops if (conv := view.sole_maker(value, "Conv")) is not None]
    if len(convs) != len(concat.input):
        return None
    split = view.maker(convs[0].input[0], "Split")
    if split is None or [conv.input[0] for conv in convs] != list(split.output):
        return None
    if attribute(split, "axis", 0) != 1 or not _are_alike(view, convs):
        return None
    joined = view.new_value("joined") if activated else concat.output[0]
    whole = _joined(view, convs, split.input[0], joined)
    old = [*convs, *(relu for relu in relus if relu is not None), concat]
    new = [whole, helper.make_node("Relu", [joined], list(concat.output))] if activated else [whole]
    return old, new


def _are_alike(view: View, convs: Sequence[onnx.NodeProto]) -> bool:
    """Whether they differ in their weights alone, and those are constant and of one shape."""
    shapes = {None if (kernel := view.constant(conv.input[1])) is None else kernel.shape for conv in convs}
    settings = {
        tuple(sorted((each.name, each.SerializeToString()) for each in conv.attribute)) for conv in convs
    }
    biased = {len(conv.input) for conv in convs}
    ungrouped = all(attribute(conv, "group", 1) == 1 for conv in convs)
    return None not in shapes and len(shapes) == len(settings) == len(biased) == 1 and ungrouped


def _joined(view: View, convs: Sequence[onnx.NodeProto], source: str, result: str) -> onnx.NodeProto:
    weights = [
        view.new_constant("joined", np.concatenate([view.constant(conv.input[part]) for conv in convs]))
        for part in range(1, len(convs[0].input))
    ]
    whole = helper.make_node("Conv", [source, *weights], [result], group=len(convs))
    whole.attribute.extend(each for each in convs[0].attribute if each.name != "group")
    return whole
