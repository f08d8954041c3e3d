"""Metrics of a classifier: probabilities, [examples, classes], against true classes, [examples]."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]

# Of a normal distribution: 95 % of its values lie within this many standard deviations.
_DEVIATIONS: Final = 1.96


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
    group = _bin(confidence, bins)
    gaps = np.bincount(group, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def confusion(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """Return the confusion matrix, [true class, predicted class], in examples."""
    classes = probabilities.shape[1]
    pairs = labels * classes + probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of logits, [examples, classes]."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def reliability(
    probabilities: Probabilities, labels: Labels, bins: int = 15
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the number of examples, the mean confidence and the accuracy of each bin of confidence."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    group = _bin(confidence, bins)
    counts = np.bincount(group, minlength=bins)
    sums = (np.bincount(group, weights=values, minlength=bins) for values in (confidence, correct))
    mean_confidence, accuracies = (values / np.maximum(counts, 1) for values in sums)
    return counts, mean_confidence, accuracies


def wilson_interval(
    shares: NDArray[np.float64], counts: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 95 % confidence intervals of shares of `counts` examples (E. B. Wilson, JASA 22, 1927)."""
    square = _DEVIATIONS**2 / counts
    centre = shares + square / 2
    reach = _DEVIATIONS * np.sqrt(shares * (1 - shares) / counts + square / (4 * counts))
    return np.maximum(0, (centre - reach) / (1 + square)), np.minimum(1, (centre + reach) / (1 + square))


def _bin(confidence: NDArray[np.float64], bins: int) -> NDArray[np.intp]:
    return np.clip(np.ceil(confidence * bins).astype(np.intp) - 1, 0, bins - 1)
