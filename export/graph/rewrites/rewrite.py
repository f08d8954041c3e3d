"""Applies rewrites in order, each as often as possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import onnx
from onnx.checker import check_model

from ..external_data import check_self_contained
from ..graph_cleanup import clean_up, infer_shapes
from . import (
    channels_first,
    float16_weights,
    fold_input_scale,
    grouped_conv,
    local_response_norm,
    uint8_input,
)
from .graph_index import GraphIndex

Step = Callable[[GraphIndex], bool]


@dataclass(frozen=True)
class Rewrite:
    """A rewrite; `name` appears in the manifest. Each step changes one place, or returns False."""

    name: str
    steps: Sequence[Step]


class RewriteResult(NamedTuple):
    """The new ONNX file and the names of the rewrites that changed it, in order."""

    graph: bytes
    rewrites: tuple[str, ...]


FOLDED_SCALING: Final = "input-scaling"

SPEEDUPS: Final[Sequence[Rewrite]] = (
    Rewrite(
        "channels-first",
        (channels_first.move_after_split, channels_first.cancel_pairs, channels_first.fold_into_matmul),
    ),
    Rewrite("grouped-convolution", (grouped_conv.merge_branches,)),
    Rewrite(FOLDED_SCALING, (fold_input_scale.fold_into_convolution,)),
    Rewrite("response-normalisation", (local_response_norm.decompose,)),
)
REWRITES: Final[Sequence[Rewrite]] = (
    *SPEEDUPS,
    Rewrite("weights-in-half", (float16_weights.store_as_float16,)),
)

# Rewrites of int8 graphs: the first two before quantization, the last one after it.
FLOAT32_WEIGHTS: Final = Rewrite("weights-whole", (float16_weights.restore_float32,))
CHANNELS_LAST: Final = Rewrite("response-normalisation-channels-last", (local_response_norm.channels_last,))
UINT8_INPUT: Final = Rewrite("pixels-as-they-are", (uint8_input.feed_uint8,))


def rewrite(graph: bytes, rewrites: Sequence[Rewrite] = REWRITES) -> RewriteResult:
    """Apply rewrites to an ONNX file; the same input gives the same bytes.

    Some sums are computed in another order, so outputs differ in the last digits.

    Raises:
        ConversionError: the graph stores values in other files.
    """
    model = onnx.load_from_string(graph)
    check_self_contained(model)
    infer_shapes(model)
    applied = []
    for candidate in rewrites:
        changed = False
        while any(step(GraphIndex(model)) for step in candidate.steps):
            changed = True
        if changed:
            applied.append(candidate.name)
    if not applied:
        return RewriteResult(graph, ())
    names = [[value.name for value in values] for values in (model.graph.input, model.graph.output)]
    clean_up(model, model.graph.name, *names)
    check_model(model, full_check=True)
    return RewriteResult(bytes(model.SerializeToString(deterministic=True)), tuple(applied))
