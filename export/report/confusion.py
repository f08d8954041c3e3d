"""Plots confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .png import encode

_MAX_TABLE_CLASSES: Final = 60
_MAX_CELLS: Final = 250


def plot(counts: NDArray[np.int64], labels: Sequence[str], title: str) -> bytes:
    """Plot a confusion matrix.

    Up to 60 classes are shown with labels and counts. For more classes, counts are colours, and the most
    frequent confusions are listed.

    Args:
        counts: [true class, predicted class].
        labels: the names of the classes.
        title: the title of the plot.
    """
    return (
        _table(counts, labels, title)
        if len(labels) <= _MAX_TABLE_CLASSES
        else _overview(counts, labels, title)
    )


def _table(counts: NDArray[np.int64], labels: Sequence[str], title: str) -> bytes:
    longest = max(map(len, labels))
    cell = 0.55 if len(labels) <= 12 else 0.28
    side = max(5.0, cell * len(labels) + 0.07 * longest + 1)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    largest = int(counts.max())
    shown = axes.imshow(np.ma.masked_equal(counts, 0), cmap="Blues", norm=LogNorm(1, max(2, largest)))
    font = 10 if cell > 0.5 else 7
    for (row, column), count in np.ndenumerate(counts):
        if count:
            dark = count**2 > largest  # in the upper half of the logarithmic scale
            color = "white" if dark else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=font)
    axes.set_xticks(range(len(labels)), labels, rotation=90 if longest > 3 else 0, fontsize=font)
    axes.set_yticks(range(len(labels)), labels, fontsize=font)
    axes.set_xlabel("predicted label")
    axes.set_ylabel("true label")
    axes.set_title(title)
    figure.colorbar(shown, label="images (logarithmic scale)", shrink=0.85, format="{x:g}")
    return encode(figure, colours=128)


def _overview(counts: NDArray[np.int64], labels: Sequence[str], title: str, max_pairs: int = 30) -> bytes:
    figure = Figure(figsize=(13, 8), layout="constrained")
    axes, beside = figure.subplots(1, 2, width_ratios=(8, 5))
    largest = max(2, int(counts.max()))
    cells = max(1, -(-len(labels) // _MAX_CELLS))
    shown = axes.imshow(
        np.ma.masked_equal(_pooled(counts, cells), 0),
        cmap="Blues",
        norm=LogNorm(1, largest),
        extent=(0, len(labels), len(labels), 0),
        interpolation="nearest",
    )
    axes.set_xlabel("number of the predicted class")
    axes.set_ylabel("number of the true class")
    axes.set_title(title)
    figure.colorbar(shown, label="images (logarithmic scale)", shrink=0.7, format="{x:g}")
    wrong = counts * (1 - np.eye(len(labels), dtype=np.int64))
    pairs = [
        divmod(int(place), len(labels)) for place in np.argsort(-wrong, axis=None, kind="stable")[:max_pairs]
    ]
    lines = [f"{wrong[pair]:>5}  {labels[pair[0]]} → {labels[pair[1]]}" for pair in pairs if wrong[pair]]
    beside.axis("off")
    beside.text(0, 1, "\n".join(["most frequent confusions", *lines]), va="top", fontsize=8)
    return encode(figure, colours=128)


def _pooled(counts: NDArray[np.int64], cells: int) -> NDArray[np.int64]:
    """Max-pool squares of `cells` cells, so that a single confusion among 1,000 classes stays visible."""
    pad = -len(counts) % cells
    padded = np.pad(counts, (0, pad))
    rows = len(padded) // cells
    pooled: NDArray[np.int64] = padded.reshape(rows, cells, rows, cells).max(axis=(1, 3))
    return pooled
