"""Places maps of cells on a picture, and says in words where their evidence is."""

from __future__ import annotations

from typing import Final

import numpy as np

from ..repository.inspect_file import ReceptiveField
from .request import Map

# Share of the pixels whose evidence the words give.
TOP_SHARE: Final = 0.1

_ROWS = ("upper", "middle", "lower")
_COLUMNS = ("left", "middle", "right")


def spread(cells: Map, height: int, width: int, field: ReceptiveField | None) -> Map:
    """The evidence of each pixel, `(height, width)`: interpolated between the centres of the cells."""
    rows = _weights(cells.shape[0], height, None if field is None else _line(field, 0))
    columns = _weights(cells.shape[1], width, None if field is None else _line(field, 1))
    return np.asarray(rows @ cells @ columns.T)


def _line(field: ReceptiveField, axis: int) -> tuple[float, float]:
    """The centre of the first cell along an axis, and the distance to the next."""
    return field.start[axis] + (field.size[axis] - 1) / 2, float(field.step[axis])


def _weights(cells: int, pixels: int, line: tuple[float, float] | None) -> Map:
    """The matrix of linear interpolation, `(pixels, cells)`; pixels beyond the centres have the outermost."""
    start, step = line or (pixels / cells / 2 - 0.5, pixels / cells)
    place = np.clip((np.arange(pixels) - start) / step, 0, cells - 1)
    distance = np.abs(place[:, np.newaxis] - np.arange(cells))
    return np.asarray(np.clip(1 - distance, 0, 1))


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
