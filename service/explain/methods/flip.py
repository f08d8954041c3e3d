"""Finds a small erasure of a picture that changes its label."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...batching.pending_request import Scores
from ...inference.top_k import as_probabilities
from ..request import Flip, Map
from .background_runs import BackgroundRuns, Masks

Cells = NDArray[np.int64]

GRID: Final = 14
LARGE_GRID: Final = 8
LARGE_SIDE: Final = 128
# Erasures that the search may try, and the share of the picture that it may erase.
MAX_TRIALS: Final = 160
MAX_SHARE: Final = 0.5


async def find_flip(runs: BackgroundRuns, overview: Map, index: int, kind: str) -> Flip | None:
    """Erase the cells with the most evidence until the label changes, then restore all that are not needed.

    Returns:
        The erasure, from which no single cell can be left out; None if half of the picture is not enough.
    """
    search = _Search(runs, overview, index, kind)
    cells = await search.grow()
    if cells is None:
        return None
    cells = await search.shrink(cells)
    label, probability = await search.outcome(cells)
    places = sorted((cell // search.grid, cell % search.grid) for cell in cells)
    return Flip(grid=search.grid, cells=places, index=label, probability=probability)


class _Search:
    def __init__(self, runs: BackgroundRuns, overview: Map, index: int, kind: str) -> None:
        self._runs = runs
        self._index = index
        self._kind = kind
        height, width = overview.shape
        self.grid = LARGE_GRID if min(height, width) >= LARGE_SIDE else min(GRID, height, width)
        rows = np.arange(height) * self.grid // height
        columns = np.arange(width) * self.grid // width
        self._cell_of = rows[:, np.newaxis] * self.grid + columns
        totals = np.bincount(self._cell_of.ravel(), overview.ravel(), self.grid**2)
        self._order = np.argsort(-totals, kind="stable")
        self._trials = 0

    async def grow(self) -> list[int] | None:
        """The shortest prefix of the order that changes the label."""
        longest = int(MAX_SHARE * self.grid**2)
        low, high = 0, 1
        while not await self._changes(self._order[:high]):
            if high == longest:
                return None
            low, high = high, min(longest, 2 * high)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if await self._changes(self._order[:middle]) else (middle, high)
        return [int(cell) for cell in self._order[:high]]

    async def shrink(self, cells: list[int]) -> list[int]:
        """Restore each cell without which the label still changes, the one with the least evidence first."""
        for cell in reversed(list(cells)):
            fewer = [each for each in cells if each != cell]
            if self._trials >= MAX_TRIALS:
                break
            if fewer and await self._changes(np.array(fewer)):
                cells = fewer
        return cells

    async def outcome(self, cells: list[int]) -> tuple[int, float]:
        """The label without the cells, and its probability."""
        (probabilities,) = as_probabilities(await self._outputs(np.array(cells)), self._kind)
        label = int(probabilities.argmax())
        return label, float(probabilities[label])

    async def _changes(self, cells: Cells) -> bool:
        self._trials += 1
        (outputs,) = await self._outputs(cells)
        return int(outputs.argmax()) != self._index

    async def _outputs(self, cells: Cells) -> Scores:
        mask = np.isin(self._cell_of, cells)

        def masks(start: int, stop: int) -> Masks:
            return mask[np.newaxis]

        return await self._runs.erased(1, masks)
