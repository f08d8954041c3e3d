"""Merges parallel convolutions into one grouped convolution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from .graph_index import GraphIndex, attribute


def merge_branches(index: GraphIndex) -> bool:
    """Replace Split, one Conv (and Relu) per part and Concat by one grouped Conv (and Relu)."""
    for concat in index.nodes:
        if concat.op_type == "Concat" and attribute(concat, "axis", None) == 1:
            replacement = _match_branches(index, concat)
            if replacement is not None:
                index.replace(*replacement)
                return True
    return False


def _match_branches(
    index: GraphIndex, concat: onnx.NodeProto
) -> tuple[Sequence[onnx.NodeProto], Sequence[onnx.NodeProto]] | None:
    relus = [index.sole_producer(value, "Relu") for value in concat.input]
    activated = all(relus)
    tops = [relu.input[0] for relu in relus if relu is not None] if activated else list(concat.input)
    convs = [conv for value in tops if (conv := index.sole_producer(value, "Conv")) is not None]
    if len(convs) != len(concat.input):
        return None
    split = index.producer(convs[0].input[0], "Split")
    if split is None or [conv.input[0] for conv in convs] != list(split.output):
        return None
    if attribute(split, "axis", 0) != 1 or not _are_alike(index, convs):
        return None
    joined = index.new_value("joined") if activated else concat.output[0]
    grouped = _grouped(index, convs, split.input[0], joined)
    old = [*convs, *(relu for relu in relus if relu is not None), concat]
    new = [grouped, helper.make_node("Relu", [joined], list(concat.output))] if activated else [grouped]
    return old, new


def _are_alike(index: GraphIndex, convs: Sequence[onnx.NodeProto]) -> bool:
    """Return True if the convolutions differ only in weights, which are constants of the same shape."""
    shapes = {None if (kernel := index.constant(conv.input[1])) is None else kernel.shape for conv in convs}
    settings = {
        tuple(sorted((item.name, item.SerializeToString()) for item in conv.attribute)) for conv in convs
    }
    biased = {len(conv.input) for conv in convs}
    ungrouped = all(attribute(conv, "group", 1) == 1 for conv in convs)
    return None not in shapes and len(shapes) == len(settings) == len(biased) == 1 and ungrouped


def _grouped(index: GraphIndex, convs: Sequence[onnx.NodeProto], source: str, result: str) -> onnx.NodeProto:
    weights = [
        index.new_constant("joined", np.concatenate([index.constant(conv.input[part]) for conv in convs]))
        for part in range(1, len(convs[0].input))
    ]
    grouped = helper.make_node("Conv", [source, *weights], [result], group=len(convs))
    grouped.attribute.extend(item for item in convs[0].attribute if item.name != "group")
    return grouped
