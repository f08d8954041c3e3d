"""Applies the rewrites in their order, each wherever it can be, and tells which of them were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import onnx
from onnx.checker import check_model

from ..graph_cleanup import tell_shapes, tidy
from . import (
    channels_first,
    float16_weights,
    fold_input_scale,
    grouped_conv,
    local_response_norm,
    uint8_input,
)
from .graph_index import View

Step = Callable[[View], bool]


@dataclass(frozen=True)
class Rewrite:
    """`name` is what the manifest says; each step changes one place of the graph, or returns False."""

    name: str
    steps: Sequence[Step]


class Rewritten(NamedTuple):
    """A graph, and the names of the rewrites that changed it."""

    graph: bytes
    rewrites: tuple[str, ...]


FASTER: Final[Sequence[Rewrite]] = (
    Rewrite("channels-first", (channels_first.pass_split, channels_first.cancel, channels_first.into_dense)),
    Rewrite("grouped-convolution", (grouped_conv.join,)),
    Rewrite("input-scaling", (fold_input_scale.into_convolution,)),
    Rewrite("response-normalisation", (local_response_norm.unfold,)),
)
REWRITES: Final[Sequence[Rewrite]] = (*FASTER, Rewrite("weights-in-half", (float16_weights.keep,)))

# Those of int8 graphs: before the quantisation, and after it.
WHOLE: Final = Rewrite("weights-whole", (float16_weights.restore,))
CHANNELS_LAST: Final = Rewrite("response-normalisation-channels-last", (local_response_norm.channels_last,))
PIXELS: Final = Rewrite("pixels-as-they-are", (uint8_input.as_they_are,))


def rewrite(graph: bytes, rewrites: Sequence[Rewrite] = REWRITES) -> Rewritten:
    """The same function as an ONNX file that ONNX Runtime computes faster; the same bytes for the same bytes.

    Sums are taken in another order here and there, so answers differ in the last digits.
    """
    model = onnx.load_from_string(graph)
    tell_shapes(model)
    applied = []
    for each in rewrites:
        changed = False
        while any(step(View(model)) for step in each.steps):
            changed = True
        if changed:
            applied.append(each.name)
    if not applied:
        return Rewritten(graph, ())
    ports = [[value.name for value in values] for values in (model.graph.input, model.graph.output)]
    tidy(model, model.graph.name, *ports)
    check_model(model, full_check=True)
    return Rewritten(bytes(model.SerializeToString(deterministic=True)), tuple(applied))
