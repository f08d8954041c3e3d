"""Occlusion: how much the score of a class falls when a part of the picture is erased."""

from __future__ import annotations

from typing import Final

import numpy as np

from ...batching.pending_request import Scores
from ..request import Map, Target
from .background_runs import BackgroundRuns, Masks
from .scores import log_odds

# Coarser windows touch; finer ones overlap, so that no stroke lies between two of them.
COARSE_GRID: Final = 4
OVERLAP: Final = 1.5


async def occluded_outputs(runs: BackgroundRuns, grid: int, height: int, width: int) -> Scores:
    """The outputs of the model with each window of a grid erased, `(grid * grid, classes)`."""
    rows, columns = windows(grid, height), windows(grid, width)

    def masks(start: int, stop: int) -> Masks:
        return np.stack([np.outer(rows[k // grid], columns[k % grid]) for k in range(start, stop)])

    return await runs.erased(grid * grid, masks)


def windows(grid: int, pixels: int) -> Masks:
    """The pixels of each window along one side, `(grid, pixels)`."""
    share = pixels / grid
    reach = share * (1.0 if grid <= COARSE_GRID else OVERLAP) / 2
    centres = (np.arange(grid) + 0.5) * share
    distance = np.abs(np.arange(pixels) + 0.5 - centres[:, np.newaxis])
    # At least the pixel at the centre, where windows are smaller than a pixel.
    return np.asarray((distance < reach) | (distance == distance.min(axis=1, keepdims=True)))


def occlusion_cells(original: Scores, occluded: Scores, kind: str, target: Target, grid: int) -> Map:
    """The fall of the score by window, `(grid, grid)`."""
    before = log_odds(original, kind, target)[0]
    return np.asarray((before - log_odds(occluded, kind, target)).reshape(grid, grid))
