"""Plots learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter
from numpy.typing import NDArray

from ..training.checkpoint import Curves
from .png import encode

Values = Sequence[float] | NDArray[np.float64]

_TRAINING: Final = "#1f77b4"
_VALIDATION: Final = "#d62728"
# Of the own trainings; those of others may differ.
_LABELS: Final = ("training (augmented images)", "validation (unchanged images)")
_PLAIN_LABELS: Final = ("training", "validation")

# The coarsest steps that give enough ticks inside the axis are used, so that labels keep their distance.
_LOG_STEPS: Final = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))
_MIN_TICKS: Final = 4
# Shown in place of 0, which a logarithmic scale does not have.
_MIN_LOSS: Final = 1e-9

# The first epoch is left out of the scale of the accuracy from this number of epochs on.
_MANY_EPOCHS: Final = 6


def plot(members: Sequence[Curves], title: str, *, own: bool = True) -> bytes:
    """Plot training and, if there are any, validation loss and accuracy per epoch.

    A single network has a colour for training and one for validation. An ensemble has a colour for each
    member; its training curves are dashed. `own` tells that the network was trained here.
    """
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    figure.suptitle(title)
    loss, accuracy = figure.subplots(1, 2)
    colours = _colours(len(members))
    style = "-" if len(members) == 1 else "--"
    for curve, (training, validation) in zip(members, colours, strict=True):
        _plot_line(loss, np.maximum(curve.loss, _MIN_LOSS), training, style)
        _plot_line(loss, np.maximum(curve.validation_loss, _MIN_LOSS), validation)
        _plot_line(accuracy, curve.accuracy, training, style)
        _plot_line(accuracy, curve.validation_accuracy, validation)
    epochs = max(map(len, members))
    for axes in (loss, accuracy):
        axes.set_xlabel("epoch")
        axes.set_xlim(1 - max(0.5, 0.02 * epochs), epochs + max(0.5, 0.02 * epochs))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
    _scale_loss(loss)
    _scale_accuracy(accuracy, members)
    # Below the axes, where it covers no point.
    labels = _LABELS if own else _PLAIN_LABELS
    validated = any(member.validation_loss or member.validation_accuracy for member in members)
    figure.legend(
        handles=_legend(colours, labels if validated else labels[:1]),
        loc="outside lower center",
        ncols=min(len(members), 4) + 1,
        fontsize=9,
    )
    return encode(figure, colours=128)


def _colours(members: int) -> Sequence[tuple[str, str]]:
    """Return the colours of training and validation for each member."""
    if members == 1:
        return [(_TRAINING, _VALIDATION)]
    palette = matplotlib.color_sequences["tab10"]
    named = [matplotlib.colors.to_hex(palette[number % len(palette)]) for number in range(members)]
    return [(colour, colour) for colour in named]


def _plot_line(axes: Axes, values: Values, colour: str, style: str = "-") -> None:
    marker = "o" if len(values) <= 2 else "." if len(values) <= 50 else ""
    axes.plot(range(1, len(values) + 1), values, style, marker=marker, color=colour, linewidth=1.2)


def _legend(colours: Sequence[tuple[str, str]], labels: Sequence[str]) -> Sequence[Line2D]:
    if len(colours) == 1:
        return [
            Line2D([], [], color=colour, marker=".", label=label)
            for colour, label in zip(colours[0], labels, strict=False)
        ]
    members = [
        Line2D([], [], color=colour, linewidth=3, label=f"member {number}")
        for number, (colour, _) in enumerate(colours, start=1)
    ]
    training = Line2D([], [], color="black", linestyle="--", label=labels[0])
    validation = [Line2D([], [], color="black", linestyle="-", label=label) for label in labels[1:]]
    return [*members, training, *validation]


def _scale_loss(axes: Axes) -> None:
    axes.set_ylabel("cross-entropy (nats, logarithmic scale)")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ticks = _log_ticks(low, high)
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylim(low, high)


def _log_ticks(low: float, high: float) -> Sequence[float]:
    """Return round values between two positive numbers."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for steps in _LOG_STEPS:
        ticks = [float(step * 10.0**decade) for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= _MIN_TICKS:
            return ticks
    return [float(tick) for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high]


def _scale_accuracy(axes: Axes, members: Sequence[Curves]) -> None:
    axes.set_ylabel("accuracy")
    if max(map(len, members)) >= _MANY_EPOCHS:  # low values of the first epoch would compress the scale
        later = [value for curve in members for value in curve.accuracy[1:] + curve.validation_accuracy[1:]]
        axes.set_ylim(min(later) - 0.005, 1 + (1 - min(later)) * 0.03)
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(MaxNLocator(nbins=8))
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_ylim(low, min(high, 1 + (1 - low) * 0.03))
