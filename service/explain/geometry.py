"""Places maps of cells on a picture, and says in words where their evidence is."""

from __future__ import annotations

from typing import Final

import numpy as np

from ..repository.inspect_file import ReceptiveField
from .request import Map

# Share of the pixels whose evidence the words give.
TOP_SHARE: Final = 0.1
# Standard deviation of the effective receptive field, as a share of the whole.
EFFECTIVE_SHARE: Final = 0.25
# Added to the ink of each pixel, from 0 to 1: a cell may see background only.
LEAST_INK: Final = 1e-3

_ROWS = ("upper", "middle", "lower")
_COLUMNS = ("left", "middle", "right")


def spread(cells: Map, height: int, width: int) -> Map:
    """The evidence of each pixel, `(height, width)`, of cells that divide the picture evenly."""
    return np.asarray(_line(cells.shape[0], height) @ cells @ _line(cells.shape[1], width).T)


def share_out(cells: Map, field: ReceptiveField, ink: Map) -> Map:
    """The evidence of each pixel, `(height, width)`, of cells with receptive fields.

    Each cell is shared out among the pixels of its field: more to those near its centre, where most paths
    through the network begin (W. Luo, Y. Li, R. Urtasun, R. Zemel, Understanding the effective receptive
    field, NIPS 2016), and in proportion to `ink`, because the background of a drawing adds nothing. The map
    adds up to the cells.
    """
    height, width = ink.shape
    rows = _windows(cells.shape[0], height, field, 0)
    columns = _windows(cells.shape[1], width, field, 1)
    shares = ink + LEAST_INK
    totals = rows.T @ shares @ columns
    return np.asarray(shares * (rows @ (cells / totals) @ columns.T))


def _line(cells: int, pixels: int) -> Map:
    """The matrix of linear interpolation between the centres of cells, `(pixels, cells)`."""
    place = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    distance = np.abs(place[:, np.newaxis] - np.arange(cells))
    return np.asarray(np.clip(1 - distance, 0, 1))


def _windows(cells: int, pixels: int, field: ReceptiveField, axis: int) -> Map:
    """The weight of each pixel along an axis in the field of each cell, `(pixels, cells)`."""
    size, step = field.size[axis], field.step[axis]
    centres = field.start[axis] + (size - 1) / 2 + np.arange(cells) * step
    distance = (np.arange(pixels)[:, np.newaxis] - centres) / max(step / 2, size * EFFECTIVE_SHARE)
    return np.asarray(np.exp(-np.square(distance) / 2))


def concentration(overview: Map) -> float:
    """The share of the positive evidence in the tenth of the pixels that have the most; 0 without any."""
    positive = np.sort(np.maximum(overview, 0), axis=None)[::-1]
    total = positive.sum()
    count = max(1, round(TOP_SHARE * positive.size))
    return float(positive[:count].sum() / total) if total > 0 else 0.0


def hottest(overview: Map) -> tuple[int, int]:
    """Row and column of the pixel with the most evidence."""
    row, column = np.unravel_index(int(np.argmax(overview)), overview.shape)
    return int(row), int(column)


def in_words(overview: Map, place: tuple[int, int]) -> str:
    """The place of the evidence in words, for those who do not see the map."""
    if not np.any(overview > 0):
        return "no part of the picture is evidence for the label"
    height, width = overview.shape
    row = _ROWS[min(2, 3 * place[0] // height)]
    column = _COLUMNS[min(2, 3 * place[1] // width)]
    where = "centre" if row == column == "middle" else f"{row} {column}"
    share = concentration(overview)
    return f"{where}; {share:.0%} of the evidence in {TOP_SHARE:.0%} of the pixels".replace("%", " %")
