"""What people look at beside a model: the course of the training, and which classes are taken for which."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from .checkpoint import Curves

_TRAINING: Final = "#1f77b4"
_VALIDATION: Final = "#d62728"
_STYLES: Final = (".-", "x--", "+:", "1-.")


def curves(columns: Sequence[Curves], title: str) -> bytes:
    """Loss and accuracy over the epochs, of training and of validation, a line a column, as a PNG file."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    loss, accuracy = figure.subplots(1, 2)
    for number, curve in enumerate(columns):
        epochs = range(1, len(curve) + 1)
        for axes, training, validation in (
            (loss, curve.loss, curve.validation_loss),
            (accuracy, curve.accuracy, curve.validation_accuracy),
        ):
            style = _STYLES[number % len(_STYLES)]
            named = number == 0  # the columns share their colours
            axes.plot(
                epochs,
                training,
                style,
                color=_TRAINING,
                label="training (changed pictures)" if named else None,
            )
            axes.plot(
                epochs,
                validation,
                style,
                color=_VALIDATION,
                label="validation (pictures as they are)" if named else None,
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
    later = [value for curve in columns for value in curve.accuracy[1:] + curve.validation_accuracy[1:]]
    if max(map(len, columns)) > 5:  # else the first epoch presses all that follows against the top
        accuracy.set_ylim(bottom=min(later) - 0.005, top=1)
    accuracy.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    return _png(figure)


def confusion(counts: NDArray[np.int64], labels: Sequence[str], title: str) -> bytes:
    """How often each class (row) was taken for each class (column), as a PNG file.

    A class has a side of the picture to itself, so this is for tens of classes, not for hundreds.
    """
    side = max(5.0, 0.55 * len(labels) + 1)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    largest = int(counts.max())
    shown = axes.imshow(np.ma.masked_equal(counts, 0), cmap="Blues", norm=LogNorm(1, max(2, largest)))
    for (row, column), count in np.ndenumerate(counts):
        if count:
            dark = count**2 > largest  # beyond the middle of the logarithmic scale
            axes.text(column, row, str(count), ha="center", va="center", color="white" if dark else "black")
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted label")
    axes.set_ylabel("true label")
    axes.set_title(title)
    figure.colorbar(shown, label="pictures (logarithmic scale)", shrink=0.85)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
