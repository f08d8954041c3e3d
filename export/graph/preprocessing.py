"""Images as inputs of a graph, computed in the same way as by the server."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..repository.io_spec import InputSpec

_SMOOTH_IMAGES: Final = 12


def preprocess(pixels: NDArray[np.uint8], spec: InputSpec) -> NDArray[Any]:
    """Convert images to inputs of a graph.

    Args:
        pixels: [images, height, width, channels].
        spec: the input of the graph.

    Returns:
        The inputs in the dtype and layout of `spec`.
    """
    values: NDArray[Any] = pixels
    if spec.dtype == "float32":
        values = pixels.astype(np.float32) * np.float32(1 if spec.scale is None else spec.scale)
        values = (values - np.array(spec.mean or 0, np.float32)) / np.array(spec.std or 1, np.float32)
    return values if spec.layout == "NHWC" else np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def draw_images(spec: InputSpec) -> NDArray[np.uint8]:
    """Return black, white, a gradient and noise: uint8, [4, height, width, channels]."""
    assert spec.height is not None
    assert spec.width is not None
    shape = (spec.height, spec.width, spec.channels)
    gradient = np.linspace(0, 255, spec.width, dtype=np.uint8)[np.newaxis, :, np.newaxis]
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return np.stack(
        [np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8), np.broadcast_to(gradient, shape), noise]
    )


def draw_smooth_images(spec: InputSpec) -> NDArray[np.uint8]:
    """Return images of blurred colours, which are nearer to photographs than noise.

    Returns:
        uint8, [12, height, width, channels].
    """
    assert spec.height is not None
    assert spec.width is not None
    random = np.random.default_rng(1)
    images = []
    for number in range(_SMOOTH_IMAGES):
        cells = 2 + number
        coarse = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((spec.width, spec.height), Image.Resampling.BICUBIC)
        pixels = np.asarray(image.convert("L" if spec.channels == 1 else "RGB"))
        images.append(pixels.reshape(spec.height, spec.width, spec.channels))
    return np.stack(images)
