"""Metrics of a classifier: probabilities, [examples, classes], against true classes, [examples]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]


def accuracy(probabilities: Probabilities, labels: Labels) -> float:
    """Return the fraction of examples with the true class as the most probable one."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def top_k_accuracy(probabilities: Probabilities, labels: Labels, k: int) -> float:
    """Return the fraction of examples with the true class among the `k` most probable ones."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.mean(np.any(best == labels[:, np.newaxis], axis=1)))


def calibration_error(probabilities: Probabilities, labels: Labels, bins: int = 15) -> float:
    """Return the expected calibration error, from 0 to 1.

    It is the mean distance between confidence and accuracy over `bins` of equal width (C. Guo, G. Pleiss,
    Y. Sun, K. Weinberger, On calibration of modern neural networks, ICML 2017, section 2, equation 3).
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    group = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(group, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def confusion(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """Return the confusion matrix, [true class, predicted class], in examples."""
    classes = probabilities.shape[1]
    pairs = labels * classes + probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
