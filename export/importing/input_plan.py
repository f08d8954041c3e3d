"""Works out how images become the input of a graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ManifestError, UsageError
from ..graph.ort_session import TensorSpec
from ..repository.io_spec import InputSpec
from .options import ImportOptions, Layout

# The type of the pixels that the server sends, and numpy's type of the graph's input, by ONNX Runtime's name.
_TYPES: Final[dict[str, tuple[Literal["uint8", "float32"], type[np.generic]]]] = {
    "uint8": ("uint8", np.uint8),
    "tensor(int32)": ("uint8", np.int32),
    "tensor(int64)": ("uint8", np.int64),
    "float32": ("float32", np.float32),
    "tensor(float16)": ("float32", np.float16),
    "tensor(double)": ("float32", np.float64),
}


@dataclass(frozen=True)
class InputPlan:
    """The input that the server fills, and the input that the graph came with.

    Attributes:
        spec: the input after the graph is fitted.
        dtype: the type of the graph's own input.
        axes: its own axes after the batch, if they differ from those of `spec`; otherwise None.
        channel_axis: the axis whose order is reversed; None if the graph expects red, green, blue.
        batch: its own batch size; None if it is dynamic.
    """

    spec: InputSpec
    dtype: type[np.generic]
    axes: tuple[int, ...] | None
    channel_axis: int | None
    batch: int | None

    def original(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """Convert inputs in the form of `spec` to those that the graph came with."""
        values = inputs
        if self.channel_axis is not None:
            values = np.flip(values, self.channel_axis)
        if self.axes is not None:
            values = values.reshape(len(values), *self.axes)
        return np.ascontiguousarray(values.astype(self.dtype, copy=False))


def plan_input(tensor: TensorSpec, options: ImportOptions) -> InputPlan:
    """Work out the input from the graph and the options.

    Raises:
        ManifestError: the graph takes no images, or contradicts the options.
        UsageError: something is missing that the graph does not tell.
    """
    if tensor.dtype not in _TYPES:
        raise ManifestError(
            f"the graph's input {tensor.name!r} has dtype {tensor.dtype}; expected uint8, float32, float16, "
            "double, int32 or int64"
        )
    pixels, dtype = _TYPES[tensor.dtype]
    if options.dtype not in (None, pixels):
        raise ManifestError(f"the graph's input {tensor.name!r} has dtype {pixels}, not {options.dtype}")
    axes = tensor.shape[1:]
    if len(axes) == 3:
        layout, (height, width), channels = _from_image(tensor, options)
    elif len(axes) == 2:
        layout, (height, width), channels = "NHWC", _size((axes[0], axes[1]), options), 1
    elif len(axes) == 1:
        layout, (height, width), channels = _from_row(tensor, options)
    else:
        raise ManifestError(
            f"the graph's input {tensor.name!r} has shape {format_shape(tensor.shape)}; expected images with "
            "two to four axes, batch first"
        )
    spec = InputSpec(
        name=tensor.name,
        dtype=pixels,
        layout=layout,
        height=height,
        width=width,
        channels=channels,
        resize=options.resize,
        scale=options.scale,
        mean=options.mean,
        std=options.std,
    )
    if options.std is not None and not all(options.std):
        raise ManifestError("--std contains a zero")
    if options.channel_order == "bgr" and channels != 3:
        raise ManifestError(f"--channel-order bgr needs three channels; the graph's input has {channels}")
    own_axes = None
    if len(axes) < 3:
        own_axes = (height * width * channels,) if len(axes) == 1 else (height, width)
    return InputPlan(
        spec=spec,
        dtype=dtype,
        axes=own_axes,
        channel_axis=(3 if layout == "NHWC" else 1) if options.channel_order == "bgr" else None,
        batch=tensor.shape[0],
    )


def _from_image(tensor: TensorSpec, options: ImportOptions) -> tuple[Layout, tuple[int, int], int]:
    layout = options.layout or _infer_layout(tensor)
    height, width, channels = tensor.shape[1:] if layout == "NHWC" else (*tensor.shape[2:], tensor.shape[1])
    if channels not in (1, 3):
        raise ManifestError(
            f"as {layout}, the graph's input {format_shape(tensor.shape)} has {channels or 'any number of'} "
            "channels; expected 1 or 3"
        )
    return layout, _size((height, width), options), channels


def _from_row(tensor: TensorSpec, options: ImportOptions) -> tuple[Layout, tuple[int, int], int]:
    """Work out the image that is flattened to a row: as --size says, or square."""
    (count,) = tensor.shape[1:]
    if options.size is None:
        for channels in (1, 3):
            side = math.isqrt((count or 0) // channels)
            if count and side * side * channels == count:
                return options.layout or "NHWC", (side, side), channels
        raise UsageError(
            f"the graph takes rows of {count or 'any number of'} numbers, which are no square image; set the "
            "height and width with --size"
        )
    height, width = options.size
    channels = (count or height * width) // (height * width)
    if count not in (None, height * width * channels) or channels not in (1, 3):
        raise ManifestError(
            f"the graph takes rows of {count:,} numbers, which are not {height}x{width} pixels with 1 or 3 "
            "channels"
        )
    return options.layout or "NHWC", options.size, channels


def _size(found: tuple[int | None, int | None], options: ImportOptions) -> tuple[int, int]:
    height, width = found
    if options.size is not None:
        if any(axis not in (None, side) for axis, side in zip(found, options.size, strict=True)):
            raise ManifestError(
                f"the graph's input is {height}x{width}, not {options.size[0]}x{options.size[1]}"
            )
        return options.size
    if height is None or width is None:
        raise UsageError("the height and width of the graph's input are dynamic; set them with --size")
    return height, width


def _infer_layout(tensor: TensorSpec) -> Layout:
    first, last = tensor.shape[1] in (1, 3), tensor.shape[3] in (1, 3)
    if first == last:
        raise UsageError(
            f"the layout of the graph's input {format_shape(tensor.shape)} is ambiguous; set it with --layout"
        )
    return "NCHW" if first else "NHWC"


def format_shape(axes: Sequence[int | None]) -> str:
    """Format axes, with a question mark for a dynamic one."""
    return "[" + ", ".join("?" if axis is None else str(axis) for axis in axes) + "]"
