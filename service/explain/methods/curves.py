"""Deletion and insertion: the test of a map by the model itself."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...inference.top_k import as_probabilities
from ..geometry import spread
from ..request import Curves, Map
from .background_runs import BackgroundRuns, Masks

# Points of a curve after the first one; fewer for large pictures, whose networks are slow.
STEPS: Final = 16
LARGE_STEPS: Final = 8
LARGE_PIXELS: Final = 128 * 128
# Cells of the random map along each side.
RANDOM_GRID: Final = 8


def steps_for(height: int, width: int) -> int:
    """The number of points of a curve after the first one."""
    return LARGE_STEPS if height * width >= LARGE_PIXELS else STEPS


async def measure_curves(runs: BackgroundRuns, overview: Map, index: int, kind: str, seed: bytes) -> Curves:
    """The curves of a map, and those of a random one of the same smoothness.

    Args:
        index: the class whose probability is measured.
        seed: decides the random map.
    """
    steps = steps_for(*overview.shape)
    chance = random_map(seed, *overview.shape)
    values = [
        await erasure_curve(runs, order, steps, index, kind, insertion=insertion)
        for order in (ranks(overview), ranks(chance))
        for insertion in (False, True)
    ]
    deletion, insertion, random_deletion, random_insertion = (each.tolist() for each in values)
    return Curves(
        fraction=[step / steps for step in range(steps + 1)],
        deletion=deletion,
        insertion=insertion,
        random_deletion=random_deletion,
        random_insertion=random_insertion,
    )


async def erasure_curve(
    runs: BackgroundRuns, order: NDArray[np.int64], steps: int, index: int, kind: str, *, insertion: bool
) -> NDArray[np.float64]:
    """The probability of a class after each step, `steps + 1` values.

    Args:
        order: the rank of each pixel, 0 for the most evidence.
        insertion: begin with an empty picture, and show pixels instead of erasing them.
    """

    def masks(start: int, stop: int) -> Masks:
        limits = np.rint(np.arange(start, stop) / steps * order.size)[:, np.newaxis, np.newaxis]
        return np.asarray((order >= limits) if insertion else (order < limits))

    outputs = await runs.erased(steps + 1, masks)
    return as_probabilities(outputs, kind)[:, index].astype(np.float64)


def ranks(overview: Map) -> NDArray[np.int64]:
    """The rank of each pixel, 0 for the most evidence; equal ones in the order of reading."""
    order = np.argsort(-overview, axis=None, kind="stable")
    places = np.empty(order.size, np.int64)
    places[order] = np.arange(order.size)
    return places.reshape(overview.shape)


def random_map(seed: bytes, height: int, width: int) -> Map:
    """A smooth random map; the same seed gives the same map."""
    number = int.from_bytes(hashlib.sha256(seed).digest()[:8], "big")
    cells = np.random.Generator(np.random.PCG64(number)).random((RANDOM_GRID, RANDOM_GRID))
    return spread(cells, height, width)


def centred_gaussian(height: int, width: int) -> Map:
    """A map that is brightest in the centre, whatever the picture shows."""
    rows, columns = (((np.arange(side) + 0.5) / side - 0.5) / 0.25 for side in (height, width))
    return np.exp(-(rows[:, np.newaxis] ** 2 + columns[np.newaxis, :] ** 2) / 2)
