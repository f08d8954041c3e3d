"""The parameters of an explanation, and its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..inference.top_k import Prediction
from ..repository.inspect_file import ReceptiveField

Map = NDArray[np.float64]

CONTRIBUTION: Final = "contribution"
HIRESCAM: Final = "hirescam"
GRADCAM: Final = "gradcam"
GRADIENT: Final = "gradient"
INTEGRATED: Final = "integrated"
OCCLUSION: Final = "occlusion"
MAPS: Final = "maps"
METHODS: Final = (CONTRIBUTION, HIRESCAM, GRADCAM, GRADIENT, INTEGRATED, OCCLUSION)

DEFAULT_GRID: Final = 8
MIN_GRID, MAX_GRID = 2, 32
MAX_OTHERS: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOptions:
    """The parameters of a request; None chooses what suits the network.

    Attributes:
        label, versus: a label, or `#` and its index.
        others: the number of further labels with maps.
        grid: windows of occlusion along each side.
        curves: whether to measure deletion and insertion.
        flip: whether to search for the smallest erasure that changes the label.
    """

    method: str | None = None
    layer: str | None = None
    label: str | None = None
    versus: str | None = None
    others: int = 0
    grid: int = DEFAULT_GRID
    curves: bool = False
    flip: bool = False


class Target(NamedTuple):
    """A class, or with `versus` the difference between two."""

    label: int
    versus: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The evidence for one target.

    Attributes:
        score: the score that it explains.
        base: the rest of the score if the cells add up to it, else None.
        cells: evidence by place, `(rows, columns)`.
    """

    target: Target
    score: float
    base: float | None
    cells: Map


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """The label's probability while parts are erased, or shown, in the order of a map."""

    fraction: Sequence[float]
    deletion: Sequence[float]
    insertion: Sequence[float]
    random_deletion: Sequence[float]
    random_insertion: Sequence[float]

    @property
    def trust(self) -> str:
        """`high` if the map beats a random one in both curves, `mixed` in one, else `low`."""
        better = (area(self.deletion) < area(self.random_deletion)) + (
            area(self.insertion) > area(self.random_insertion)
        )
        return ("low", "mixed", "high")[better]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """The smallest erasure found that changes the label; `cells` are rows and columns of the grid."""

    grid: int
    cells: Sequence[tuple[int, int]]
    index: int
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The explanation of one image.

    Attributes:
        exact: whether cells and base add up to the score.
        score_kind: `logit` or `log-odds`.
        prediction: the most probable classes.
        evidence: of the target first, then of the other labels.
        place: where the cells are in the picture; None if they divide it evenly.
        picture: the image as the network receives it, `(height, width, channels)`.
        overview: the evidence of each pixel, `(height, width)`.
        hottest: row and column of the pixel with the most evidence.
    """

    model: str
    version: str
    method: str
    layer: str | None
    exact: bool
    score_kind: str
    prediction: Sequence[Prediction]
    evidence: Sequence[Evidence]
    place: ReceptiveField | None
    picture: NDArray[np.uint8]
    overview: Map
    hottest: tuple[int, int]
    curves: Curves | None = None
    flip: Flip | None = None
    flip_wanted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMaps:
    """The output of a layer for one image: `(channels, height, width)`, or `(units,)`."""

    model: str
    version: str
    layer: str
    values: NDArray[np.float32]


def area(values: Sequence[float]) -> float:
    """The mean height of a curve whose points are evenly spaced."""
    points = np.asarray(values, np.float64)
    return float((points[1:] + points[:-1]).mean() / 2)
