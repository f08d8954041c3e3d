"""The backward forms of poolings."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray

from ..graph.rewrites.graph_index import attribute
from .convolution_rule import spread_windows
from .graph_builder import GraphBuilder
from .windows import Window


def max_pool(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    """Add each gradient to the pixel that was the maximum of its window; windows may overlap."""
    if len(node.output) < 2:
        node.output.append(f"{node.output[0]}/indices")
    flat = graph.axes(-1)
    shape = graph.add("Shape", [node.input[0]])
    count = graph.add("ReduceProd", [shape], keepdims=1)
    zeros = graph.add("ConstantOfShape", [count])
    places = graph.add("Reshape", [node.output[1], flat])
    updates = graph.add("Reshape", [gradient, flat])
    total = graph.add("ScatterElements", [zeros, places, updates], axis=0, reduction="add")
    return {0: graph.add("Reshape", [total, shape])}


def average_pool(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    """Divide each gradient between the pixels of its window."""
    window = Window.of(graph, node)
    counts = _counts(graph, node, window)
    shares = graph.add("Div", [gradient, graph.add_constant(counts)])
    # A transposed convolution of a single channel, with all channels as rows of the batch.
    single = graph.add("Reshape", [shares, graph.axes(-1, 1, *graph.sizes(node.output[0]))])
    ones = graph.add_constant(np.ones((1, 1, *window.kernel), np.float32))
    spread = spread_windows(graph, node, single, ones, window, 1)
    return {0: graph.add("Reshape", [spread, graph.add("Shape", [node.input[0]])])}


def global_average_pool(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    """Divide each gradient between all pixels of its map."""
    share = graph.add("Mul", [gradient, graph.number(1.0 / prod(graph.sizes(node.input[0])))])
    return {0: graph.add("Expand", [share, graph.add("Shape", [node.input[0]])])}


def _counts(graph: GraphBuilder, node: onnx.NodeProto, window: Window) -> NDArray[np.float32]:
    """Return the number of pixels whose mean each window is, `(1, 1, height, width)`."""
    sizes, results = graph.sizes(node.input[0]), graph.sizes(node.output[0])
    padded = attribute(node, "count_include_pad", 0)
    lines = []
    for axis in range(2):
        first = -window.before[axis]
        low, high = 0, sizes[axis]
        if padded:
            low, high = first, sizes[axis] + window.after[axis]
        taps = first + np.arange(results[axis])[:, np.newaxis] * window.stride[axis]
        taps = taps + np.arange(window.kernel[axis]) * window.dilation[axis]
        lines.append(((taps >= low) & (taps < high)).sum(axis=1))
    counts: NDArray[np.float32] = np.outer(*lines)[np.newaxis, np.newaxis].astype(np.float32)
    return counts
