"""Plots learning curves, confusion matrices, mistakes and first-layer kernels as PNG files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray
from PIL import Image

from ..training.checkpoint import Curves

_TRAINING: Final = "#1f77b4"
_VALIDATION: Final = "#d62728"
_MAX_TABLE_CLASSES: Final = 60
_MAX_CELLS: Final = 250
_STYLES: Final = (".-", "x--", "+:", "1-.")


def curves(members: Sequence[Curves], title: str) -> bytes:
    """Plot training and validation loss and accuracy per epoch, with one line per ensemble member."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    loss, accuracy = figure.subplots(1, 2)
    for number, curve in enumerate(members):
        epochs = range(1, len(curve) + 1)
        for axes, training, validation in (
            (loss, curve.loss, curve.validation_loss),
            (accuracy, curve.accuracy, curve.validation_accuracy),
        ):
            style = _STYLES[number % len(_STYLES)]
            first = number == 0  # all members have the same colours and one legend
            axes.plot(
                epochs,
                training,
                style,
                color=_TRAINING,
                label="training (augmented images)" if first else None,
            )
            axes.plot(
                epochs,
                validation,
                style,
                color=_VALIDATION,
                label="validation (unchanged images)" if first else None,
            )
    for axes in (loss, accuracy):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    loss.set_ylabel("cross-entropy (nats, logarithmic scale)")
    loss.set_yscale("log")
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    loss.yaxis.set_major_formatter("{x:g}")
    loss.yaxis.set_minor_formatter(NullFormatter())
    loss.legend(loc="upper right")
    accuracy.set_ylabel("accuracy")
    accuracy.legend(loc="lower right")
    later = [value for curve in members for value in curve.accuracy[1:] + curve.validation_accuracy[1:]]
    if max(map(len, members)) > 5:  # omit the first epoch; its low values would compress the scale
        accuracy.set_ylim(bottom=min(later) - 0.005, top=1)
    accuracy.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    return _png(figure)


def confusion(counts: NDArray[np.int64], labels: Sequence[str], title: str) -> bytes:
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
    figure.colorbar(shown, label="images (logarithmic scale)", shrink=0.85)
    return _png(figure)


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
    figure.colorbar(shown, label="images (logarithmic scale)", shrink=0.7)
    wrong = counts * (1 - np.eye(len(labels), dtype=np.int64))
    pairs = [
        divmod(int(place), len(labels)) for place in np.argsort(-wrong, axis=None, kind="stable")[:max_pairs]
    ]
    lines = [f"{wrong[pair]:>5}  {labels[pair[0]]} → {labels[pair[1]]}" for pair in pairs if wrong[pair]]
    beside.axis("off")
    beside.text(0, 1, "\n".join(["most frequent confusions", *lines]), va="top", fontsize=8)
    return _png(figure)


def _pooled(counts: NDArray[np.int64], cells: int) -> NDArray[np.int64]:
    """Max-pool squares of `cells` cells, so that a single confusion among 1,000 classes stays visible."""
    pad = -len(counts) % cells
    padded = np.pad(counts, (0, pad))
    rows = len(padded) // cells
    pooled: NDArray[np.int64] = padded.reshape(rows, cells, rows, cells).max(axis=(1, 3))
    return pooled


def mistakes(images: NDArray[np.uint8], captions: Sequence[str], title: str) -> bytes:
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
    return _png(figure, colours=0)


def kernels(weights: Sequence[NDArray[np.float32]], title: str) -> bytes:
    """Plot the kernels of first layers, [height, width, channels, kernels], one block per ensemble member.

    Kernels with three channels are shown in RGB, with grey for 0; kernels with one channel in blue for
    negative and red for positive values.
    """
    figure = Figure(figsize=(4.5 * len(weights), 5), layout=ConstrainedLayoutEngine(wspace=0.06))
    figure.suptitle(title)
    for number, (axes, values) in enumerate(
        zip(figure.subplots(1, len(weights), squeeze=False).ravel(), weights, strict=True), start=1
    ):
        axes.axis("off")
        if len(weights) > 1:
            axes.set_title(f"member {number}", fontsize=9)
        mosaic = _mosaic(values / np.abs(values).max(axis=(0, 1, 2), keepdims=True))
        if mosaic.shape[-1] == 3:
            axes.imshow((mosaic + 1) / 2, interpolation="nearest")
        else:
            axes.imshow(mosaic[..., 0], cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    return _png(figure, colours=256)


def _mosaic(kernels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Arrange the kernels in an approximately square grid with a gap of one pixel."""
    height, width, channels, count = kernels.shape
    across = int(np.ceil(np.sqrt(count)))
    down = -(-count // across)
    mosaic = np.ones((down * (height + 1) - 1, across * (width + 1) - 1, channels), np.float32)
    if channels == 1:
        mosaic *= np.nan
    for place in range(count):
        top, left = (place // across) * (height + 1), (place % across) * (width + 1)
        mosaic[top : top + height, left : left + width] = kernels[..., place]
    return mosaic


def _png(figure: Figure, colours: int = 64) -> bytes:
    """Encode a figure with a palette of `colours` colours, to keep the file small; 0 keeps all colours."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    if not colours:
        return buffer.getvalue()
    small = io.BytesIO()
    with Image.open(buffer) as image:
        image.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()
