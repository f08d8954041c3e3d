"""Plots contact sheets of wrong predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .png import encode


def plot(images: NDArray[np.uint8], captions: Sequence[str], title: str) -> bytes:
    """Plot a contact sheet of images, uint8 [images, height, width, channels], with a caption each."""
    across = min(8, len(images))
    down = -(-len(images) // across)
    figure = Figure(figsize=(1.75 * across, 1.8 * down + 0.5), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, caption in zip(grid, images, captions, strict=False):
        if image.shape[-1] == 1:
            axes.imshow(image[..., 0], cmap="gray", vmin=0, vmax=255)
        else:
            axes.imshow(image)
        axes.set_title(caption, fontsize=6)
    return encode(figure, colours=0)
