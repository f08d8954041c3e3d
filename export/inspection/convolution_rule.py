"""The backward form of a convolution, and of any sum over windows."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from ..errors import ConversionError
from ..graph.rewrites.graph_index import attribute
from .graph_builder import GraphBuilder
from .windows import Window


def convolution(graph: GraphBuilder, node: onnx.NodeProto, gradient: str) -> Mapping[int, str]:
    """Return the gradient of the input of a Conv, whose weights do not depend on the input."""
    if graph.varies(node.input[1]):
        raise ConversionError("Conv has no backward form here: its weights depend on the input")
    window = Window.of(graph, node)
    spread = spread_windows(graph, node, gradient, node.input[1], window, attribute(node, "group", 1))
    return {0: spread}


def spread_windows(
    graph: GraphBuilder, node: onnx.NodeProto, gradient: str, weights: str, window: Window, group: int
) -> str:
    """Return the gradient of a sum over windows, weighted by `weights`, in the size of the node's input.

    Padding of the convolution is cut off, and pixels that no window reaches get zeros.
    """
    rest = window.rest(graph.sizes(node.input[0]), graph.sizes(node.output[0]))
    after = [pad - left for pad, left in zip(window.after, rest, strict=True)]
    attributes = {
        "kernel_shape": window.kernel,
        "strides": window.stride,
        "dilations": window.dilation,
        "group": group,
    }
    if min(after) >= 0:
        return graph.add("ConvTranspose", [gradient, weights], pads=[*window.before, *after], **attributes)
    spread = graph.add("ConvTranspose", [gradient, weights], pads=[*window.before, 0, 0], **attributes)
    # A negative padding cuts off.
    pads = graph.axes(0, 0, 0, 0, 0, 0, *(-pad for pad in after))
    return graph.add("Pad", [spread, pads])
