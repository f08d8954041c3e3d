"""Plots the kernels of first layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from .png import encode

# Of a single network, and of each member of an ensemble.
_MAX_KERNELS: Final = 36
_MAX_KERNELS_OF_A_MEMBER: Final = 16
_MEMBERS_ACROSS: Final = 3
_KERNEL_INCHES: Final = 0.62
_MIN_WIDTH: Final = 5.5

# The largest weights are rare; they do not determine the colours of all others.
_SCALE_PERCENTILE: Final = 99.5

# Kernels of this size that keep less than this share of their energy when smoothed are shown smoothed. The
# rest is noise of the initialization, which responds little to images: neighbouring pixels are alike.
_MIN_SMOOTHED_SIZE: Final = 7
_MAX_NOISY_SHARE: Final = 0.5
_SMOOTHING: Final = (0.25, 0.5, 0.25)

Kernels = NDArray[np.float32]


def plot(weights: Sequence[Kernels], title: str) -> bytes:
    """Plot the kernels of first layers, [height, width, channels, kernels], one block per ensemble member.

    All kernels have one scale. Kernels with three channels are shown in RGB, with grey for 0; others in blue
    for negative and red for positive values, averaged over their channels.
    """
    limit = _MAX_KERNELS if len(weights) == 1 else _MAX_KERNELS_OF_A_MEMBER
    noisy = weights[0].shape[0] >= _MIN_SMOOTHED_SIZE and _is_noisy(weights)
    shown = [_select(values, limit, noisy) for values in weights]
    count = shown[0].shape[3]
    columns, rows = _grid(count)
    across = min(_MEMBERS_ACROSS, len(weights))
    down = -(-len(weights) // across)
    width = max(_MIN_WIDTH, across * (columns * _KERNEL_INCHES + 0.2) + 1.2)
    figure = Figure(
        figsize=(width, down * (rows * _KERNEL_INCHES + 0.4) + 0.8),
        layout=ConstrainedLayoutEngine(wspace=0.08),
    )
    figure.suptitle(title + _note(weights[0].shape[3], count, noisy), fontsize=11)
    grid = figure.subplots(down, across, squeeze=False).ravel()
    scale = float(
        np.percentile(np.abs(np.concatenate([values.ravel() for values in shown])), _SCALE_PERCENTILE)
    )
    colour = shown[0].shape[2] == 3
    for axes in grid:
        axes.axis("off")
    for number, (axes, values) in enumerate(zip(grid, shown, strict=False), start=1):
        if len(weights) > 1:
            axes.set_title(f"member {number}", fontsize=9)
        mosaic = _mosaic(values / (scale or 1))
        if colour:
            axes.imshow(np.clip((mosaic + 1) / 2, 0, 1), interpolation="nearest")
        else:
            axes.imshow(mosaic.mean(axis=-1), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    bar = figure.colorbar(
        ScalarMappable(Normalize(-scale, scale), "gray" if colour else "RdBu_r"),
        ax=list(grid),
        shrink=0.8,
        aspect=30,
        extend="both",
    )
    bar.set_label("weight, in each colour channel" if colour else "weight")
    return encode(figure, colours=256)


def _note(available: int, shown: int, noisy: bool) -> str:
    notes = []
    if shown < available:
        notes.append(f"the {shown} of {available} with the most structure")
    if noisy:
        notes.append("smoothed over 3x3 weights")
    return "\n" + ", ".join(notes) if notes else ""


def _is_noisy(weights: Sequence[Kernels]) -> bool:
    shares = np.concatenate([_smooth_share(values) for values in weights])
    return float(np.median(shares)) < _MAX_NOISY_SHARE


def _select(kernels: Kernels, limit: int, smoothed: bool) -> Kernels:
    """Return at most `limit` kernels: all in their order, or those with the largest smooth share."""
    if kernels.shape[3] > limit:
        kernels = kernels[..., np.argsort(-_smooth_share(kernels), kind="stable")[:limit]]
    return _smooth(kernels) if smoothed else kernels


def _smooth_share(kernels: Kernels) -> Kernels:
    """Return the share of each kernel's energy that is left after smoothing."""
    energy, left = (np.square(values).sum(axis=(0, 1, 2)) for values in (kernels, _smooth(kernels)))
    share: Kernels = left / np.maximum(energy, 1e-30)
    return share


def _smooth(kernels: Kernels) -> Kernels:
    """Average each weight with its neighbours, with binomial weights; the border is repeated."""
    for axis in (0, 1):
        padded = np.pad(kernels, [(1, 1) if axis == other else (0, 0) for other in range(4)], mode="edge")
        parts = [
            weight * np.take(padded, range(offset, offset + kernels.shape[axis]), axis=axis)
            for offset, weight in enumerate(_SMOOTHING)
        ]
        kernels = np.sum(parts, axis=0, dtype=np.float32)
    return kernels


def _grid(count: int) -> tuple[int, int]:
    """Return the columns and rows of an approximately square grid with as few empty places as possible."""
    least = int(np.ceil(np.sqrt(count)))
    columns = min(range(least, 2 * least), key=lambda each: (-count % each, each), default=1)
    return columns, -(-count // columns)


def _mosaic(kernels: Kernels) -> Kernels:
    """Arrange the kernels in a grid with a gap of one pixel."""
    height, width, channels, count = kernels.shape
    columns, rows = _grid(count)
    mosaic = np.ones((rows * (height + 1) - 1, columns * (width + 1) - 1, channels), np.float32)
    if channels != 3:
        mosaic *= np.nan
    for place in range(count):
        top, left = (place // columns) * (height + 1), (place % columns) * (width + 1)
        mosaic[top : top + height, left : left + width] = kernels[..., place]
    return mosaic
