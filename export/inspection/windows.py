"""The windows of convolutions and poolings: kernel, strides, dilations and padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import onnx

from ..errors import ConversionError
from ..graph.rewrites.graph_index import attribute
from .graph_builder import GraphBuilder

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """The window of a node with two spatial axes.

    Attributes:
        kernel, stride, dilation: along height and width.
        before, after: padding above and left, below and right.
    """

    kernel: Pair
    stride: Pair
    dilation: Pair
    before: Pair
    after: Pair

    @classmethod
    def of(cls, graph: GraphBuilder, node: onnx.NodeProto) -> Self:
        """Return the window of a Conv, MaxPool or AveragePool; automatic padding is resolved.

        Raises:
            ConversionError: the node does not have two spatial axes of known size.
        """
        sizes = graph.sizes(node.input[0])
        kernel = attribute(node, "kernel_shape", None)
        kernel = list(graph.shape(node.input[1])[2:]) if kernel is None else kernel
        stride = attribute(node, "strides", [1, 1])
        dilation = attribute(node, "dilations", [1, 1])
        pads = attribute(node, "pads", [0, 0, 0, 0])
        automatic = attribute(node, "auto_pad", b"NOTSET")
        if len(kernel) != 2:
            raise ConversionError(f"{node.op_type} has {len(kernel)} spatial axes; expected 2")
        if automatic in (b"SAME_UPPER", b"SAME_LOWER"):
            pads = _same(sizes, kernel, stride, dilation, lower=automatic == b"SAME_LOWER")
        top, left, bottom, right = pads
        return cls(_pair(kernel), _pair(stride), _pair(dilation), (top, left), (bottom, right))

    @property
    def extent(self) -> Pair:
        """The pixels that the dilated kernel covers."""
        height, width = (d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        return height, width

    def rest(self, sizes: Pair, results: Pair) -> Pair:
        """Return the pixels at the lower and right edge that no window reaches, negative with ceil_mode."""
        height, width = (
            size + before + after - (result - 1) * stride - extent
            for size, before, after, result, stride, extent in zip(
                sizes, self.before, self.after, results, self.stride, self.extent, strict=True
            )
        )
        return height, width


def _pair(values: list[int]) -> Pair:
    height, width = values
    return height, width


def _same(
    sizes: Pair, kernel: list[int], stride: list[int], dilation: list[int], *, lower: bool
) -> list[int]:
    begin, end = [], []
    for size, k, s, d in zip(sizes, kernel, stride, dilation, strict=True):
        total = max(0, (-(-size // s) - 1) * s + d * (k - 1) + 1 - size)
        small = total // 2
        begin.append(total - small if lower else small)
        end.append(small if lower else total - small)
    return [*begin, *end]
