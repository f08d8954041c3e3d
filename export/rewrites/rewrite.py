"""Applies the rewrites in their order, each wherever it can be, and tells which of them were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import onnx
from onnx.checker import check_model

from ..graph import tell_shapes, tidy
from . import groups, halves, pixels, response, scale, transposes
from .view import View

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
    Rewrite("channels-first", (transposes.pass_split, transposes.cancel, transposes.into_dense)),
    Rewrite("grouped-convolution", (groups.join,)),
    Rewrite("input-scaling", (scale.into_convolution,)),
    Rewrite("response-normalisation", (response.unfold,)),
)
REWRITES: Final[Sequence[Rewrite]] = (*FASTER, Rewrite("weights-in-half", (halves.keep,)))

# Those of int8 graphs: before the quantisation, and after it.
WHOLE: Final = Rewrite("weights-whole", (halves.restore,))
CHANNELS_LAST: Final = Rewrite("response-normalisation-channels-last", (response.channels_last,))
PIXELS: Final = Rewrite("pixels-as-they-are", (pixels.as_they_are,))


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
