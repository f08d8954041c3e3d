"""Converts prepared images to the input of a graph in the same way as the server."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..repository.io_spec import InputSpec

Pixels = NDArray[np.uint8]


def as_input(pixels: Pixels, spec: InputSpec) -> NDArray[Any]:
    """Convert prepared images, [images, height, width, channels], to the dtype and layout of a graph."""
    values: NDArray[Any] = pixels
    if spec.layout == "NCHW":
        values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
    if spec.dtype == "uint8":
        return values
    channelwise = (-1,) if spec.layout == "NHWC" else (-1, 1, 1)
    values = values.astype(np.float32)
    if spec.scale is not None:
        values *= np.float32(spec.scale)
    if spec.mean is not None:
        values -= np.array(spec.mean, np.float32).reshape(channelwise)
    if spec.std is not None:
        values /= np.array(spec.std, np.float32).reshape(channelwise)
    return values
