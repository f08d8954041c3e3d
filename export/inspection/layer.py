"""The description of a layer in `inspect.onnx`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .fields import Field
from .windows import Pair


@dataclass(frozen=True, kw_only=True)
class InspectedLayer:
    """A layer of a classifier.

    Attributes:
        name: `conv1`, or `column2.conv1` in an ensemble.
        kind: the usual name of the operator.
        operator: the operator of ONNX.
        column: the number of the ensemble's column; None in a single network.
        inputs: the names of the layers it takes; `input` is the preprocessed image.
        value: its output in the graph.
        gradient: the gradient of the score with respect to the output; None without a backward form.
        shape: channels, height and width, or the number of units.
        parameters: the number of its weights.
        multiply_adds: for one image.
        weights, bias: the constants of the graph that hold them.
        kernel, stride, dilation: along height and width; padding: top, left, bottom, right.
        field: the receptive field of its unit (0, 0).
    """

    name: str
    kind: str
    operator: str
    column: int | None
    inputs: tuple[str, ...]
    value: str
    gradient: str | None = None
    shape: tuple[int, ...]
    parameters: int = 0
    multiply_adds: int = 0
    weights: str | None = None
    bias: str | None = None
    kernel: Pair | None = None
    stride: Pair | None = None
    padding: tuple[int, int, int, int] | None = None
    dilation: Pair | None = None
    groups: int | None = None
    field: Field | None = None

    def with_gradient(self, gradient: str | None) -> InspectedLayer:
        return replace(self, gradient=gradient)

    @property
    def has_maps(self) -> bool:
        """True for feature maps with more than one pixel."""
        return len(self.shape) == 3 and self.shape[1] * self.shape[2] > 1

    def document(self) -> dict[str, Any]:
        """Return the description as the server reads it."""
        field = None if self.field is None else vars(self.field)
        return {**vars(self), "field": field}
