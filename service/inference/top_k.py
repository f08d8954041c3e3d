"""Conversion of scores to probabilities, and ranking of classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Up to this size, plain Python is faster than the overhead of the NumPy calls.
MAX_SMALL_ELEMENTS = 64
# The probabilities that are sorted in one call, which takes a millisecond.
STEP_ELEMENTS = 16 * 1024


@dataclass(slots=True)
class Prediction:
    """A class of the model and its probability."""

    label: str
    index: int
    probability: float


def rank(probabilities: NDArray[np.float32], labels: Sequence[str], top_k: int) -> list[list[Prediction]]:
    """The `top_k` most probable classes of each row of `(n, classes)`, best first.

    Ties are ordered by index; NaN comes last.
    """
    if (rows := as_small_lists(probabilities)) is not None:
        return [_rank_row(row, labels, top_k) for row in rows]
    rows = max(1, STEP_ELEMENTS // probabilities.shape[1])
    blocks = (probabilities[start : start + rows] for start in range(0, len(probabilities), rows))
    return [ranked for block in blocks for ranked in _rank_rows(block, labels, top_k)]


def _rank_rows(
    probabilities: NDArray[np.float32], labels: Sequence[str], top_k: int
) -> list[list[Prediction]]:
    best, values = best_classes(probabilities, top_k)
    return [
        [Prediction(labels[i], i, p) for i, p in zip(indices, row, strict=True)]
        for indices, row in zip(best.tolist(), values.tolist(), strict=True)
    ]


def best_classes(
    probabilities: NDArray[np.float32], top_k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The indices and the values of the `top_k` most probable classes of each row, in the order of `rank`."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    return best, np.take_along_axis(probabilities, best, axis=1)


def argmax_rows(probabilities: NDArray[np.float32]) -> Iterable[tuple[int, float]]:
    """The index and value of the maximum of each row of `(n, classes)`.

    Of equal values the first counts. The first NaN of a row counts as its maximum.
    """
    if (rows := as_small_lists(probabilities)) is not None:
        return [(row.index(largest := max(row)), largest) for row in rows]
    return zip(probabilities.argmax(axis=1).tolist(), probabilities.max(axis=1).tolist(), strict=True)


def as_small_lists(probabilities: NDArray[np.float32]) -> list[list[float]] | None:
    """The rows of `(n, classes)` as lists; None if lists would be slower than NumPy, or with a NaN."""
    if probabilities.size > MAX_SMALL_ELEMENTS:
        return None
    rows: list[list[float]] = probabilities.tolist()
    return None if any(map(math.isnan, map(sum, rows))) else rows


def _rank_row(row: Sequence[float], labels: Sequence[str], top_k: int) -> list[Prediction]:
    best = sorted(range(len(row)), key=row.__getitem__, reverse=True)[:top_k]
    return [Prediction(labels[index], index, row[index]) for index in best]


def as_probabilities(scores: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    """The softmax of `(n, classes)` logits; scores of any other kind unchanged."""
    return softmax(scores) if kind == "logits" else scores


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of `(n, classes)` logits, shifted by the row's maximum so that `exp` cannot overflow."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
