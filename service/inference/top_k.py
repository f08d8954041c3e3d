"""Scores of classes made probabilities, and the best of them named."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# So few scores are ranked before NumPy has begun.
MAX_SMALL_ELEMENTS = 64


@dataclass(slots=True)
class Prediction:
    """A class of the model, and how probable it is."""

    label: str
    index: int
    probability: float


def rank(probabilities: NDArray[np.float32], labels: Sequence[str], top_k: int) -> list[list[Prediction]]:
    """The `top_k` best classes of each row of `(n, classes)`, best first, and of equals the lowest index.

    What is not a number comes last.
    """
    if (rows := as_small_lists(probabilities)) is not None:
        return [_ranked(row, labels, top_k) for row in rows]
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    values = np.take_along_axis(probabilities, best, axis=1)
    return [
        [Prediction(labels[i], i, p) for i, p in zip(indices, row, strict=True)]
        for indices, row in zip(best.tolist(), values.tolist(), strict=True)
    ]


def argmax_rows(probabilities: NDArray[np.float32]) -> Iterable[tuple[int, float]]:
    """The first of the largest of each row of `(n, classes)`, or the first that is not a number, after its
    place.
    """
    if (rows := as_small_lists(probabilities)) is not None:
        return [(row.index(largest := max(row)), largest) for row in rows]
    return zip(probabilities.argmax(axis=1).tolist(), probabilities.max(axis=1).tolist(), strict=True)


def as_small_lists(probabilities: NDArray[np.float32]) -> list[list[float]] | None:
    """The rows of `(n, classes)` as lists, where there are so few that these are quicker, all of numbers."""
    if probabilities.size > MAX_SMALL_ELEMENTS:
        return None
    rows: list[list[float]] = probabilities.tolist()
    return None if any(map(math.isnan, map(sum, rows))) else rows


def _ranked(row: Sequence[float], labels: Sequence[str], top_k: int) -> list[Prediction]:
    best = sorted(range(len(row)), key=row.__getitem__, reverse=True)[:top_k]
    return [Prediction(labels[index], index, row[index]) for index in best]


def as_probabilities(scores: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    """Rows of `(n, classes)` that a graph gave, whose output is of this kind; what is no logits stays."""
    return softmax(scores) if kind == "logits" else scores


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of `(n, classes)` as probabilities; shifted by the largest, so nothing overflows."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
