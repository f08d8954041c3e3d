"""Scores of classes from the outputs of a served graph."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...inference.top_k import softmax
from ..request import Target

# Smaller probabilities are equal: float32 has none below.
_LEAST: Final = 1e-37


def log_odds(outputs: NDArray[np.float32], kind: str, target: Target) -> NDArray[np.float64]:
    """The logarithm of the odds of a class in each row; with `versus`, of one class against another.

    The difference of the logarithms of two probabilities is that of the logits: a softmax moves all by the
    same amount.
    """
    values = outputs.astype(np.float64)
    index, versus = target
    if kind == "logits":
        if versus is not None:
            return np.asarray(values[:, index] - values[:, versus])
        values = softmax(outputs).astype(np.float64)
    values = np.clip(values, _LEAST, None)
    if versus is not None:
        return np.asarray(np.log(values[:, index]) - np.log(values[:, versus]))
    if kind == "sigmoid":
        rest = np.clip(1 - values[:, index], _LEAST, None)
    else:
        # Not one minus the probability, which is 0 for a certain answer.
        rest = np.clip(np.delete(values, index, axis=1).sum(axis=1), _LEAST, None)
    return np.asarray(np.log(values[:, index]) - np.log(rest))
