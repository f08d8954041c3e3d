"""Plots the reliability of probabilities: accuracy against confidence."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ..evaluation import metrics
from ..evaluation.metrics import Labels, Probabilities
from .png import encode

_BINS: Final = 15
_BAR: Final = "#1f77b4"


def plot(probabilities: Probabilities, labels: Labels, title: str) -> bytes:
    """Plot the accuracy of the images in each bin of confidence, and the number of images in each.

    Bars on the diagonal are calibrated, bars below it over-confident (C. Guo et al., ICML 2017, figure 1).
    Lines show the 95 % confidence interval.
    """
    counts, _, accuracies = metrics.reliability(probabilities, labels, _BINS)
    edges = np.linspace(0, 1, _BINS + 1)
    middles, filled = (edges[:-1] + edges[1:]) / 2, counts > 0
    figure = Figure(figsize=(5.2, 6), layout="constrained")
    figure.suptitle(title, fontsize=10)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    low, high = metrics.wilson_interval(accuracies[filled], counts[filled])
    above.bar(middles[filled], accuracies[filled], 0.9 / _BINS, color=_BAR, label="accuracy")
    above.vlines(middles[filled], low, high, color="black", linewidth=1)
    above.plot([0, 1], [0, 1], "--", color="black", linewidth=1, label="calibrated")
    above.set_ylabel("accuracy")
    above.set_ylim(0, 1.02)
    above.legend(loc="upper left")
    below.bar(middles[filled], counts[filled], 0.9 / _BINS, color="gray")
    below.set_yscale("log")
    below.set_ylim(bottom=0.7)
    below.yaxis.set_major_formatter("{x:,.0f}")
    below.set_ylabel("images")
    below.set_xlabel("confidence: probability of the predicted class")
    below.set_xlim(0, 1)
    for axes in (above, below):
        axes.xaxis.set_major_formatter(PercentFormatter(xmax=1))
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    above.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    return encode(figure, colours=128)
