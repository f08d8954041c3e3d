"""Draws the scaling curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

SIZE = (7.0, 3.4)
DPI = 110
THROUGHPUT, TAIL = "#1f5fa8", "#b5482a"


def draw(folder: Path, curves: Sequence[Mapping[str, Any]], caption: str) -> None:
    """Write one PNG for each curve: throughput and p99 over the parameter."""
    folder.mkdir(parents=True, exist_ok=True)
    for curve in curves:
        _draw(folder / f"{curve['key']}.png", curve, caption)


def _draw(path: Path, curve: Mapping[str, Any], caption: str) -> None:
    points = curve["points"]
    at = [point["at"] for point in points]
    unit = "images" if curve["metric"] == "images" else "requests"
    figure, axes = plt.subplots(1, 2, figsize=SIZE, dpi=DPI, layout="constrained")
    _line(axes[0], at, [point.get(curve["metric"]) for point in points], THROUGHPUT)
    axes[0].set_title(f"{unit} per second", fontsize=9)
    _line(axes[1], at, [point.get("p99") for point in points], TAIL)
    axes[1].set_title("p99, ms", fontsize=9)
    for axis in axes:
        _abscissa(axis, at, curve["unit"])
    figure.suptitle(curve["title"], fontsize=11)
    figure.supxlabel(caption, fontsize=6, color="0.45")
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def _line(axis: Axes, at: Sequence[float], values: Sequence[float | None], colour: str) -> None:
    axis.plot(at, [float("nan") if value is None else value for value in values], "o-", color=colour, ms=4)
    highest = max((value for value in values if value is not None), default=1.0)
    axis.set_ylim(0, highest * 1.08)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def _abscissa(axis: Axes, at: Sequence[float], unit: str) -> None:
    if at[-1] / at[0] > 8:
        axis.set_xscale("log", base=2)
    axis.set_xticks(list(at), [f"{value:g}" for value in at])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.tick_params(axis="x", labelrotation=45 if len(at) > 7 else 0)
    axis.set_xlabel(unit, fontsize=8)
