"""Metrics of a small example computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from export.evaluation import metrics

PROBABILITIES = np.array(
    [[0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.1, 0.3, 0.6], [0.25, 0.35, 0.4]], dtype=np.float32
)
LABELS = np.array([0, 1, 1, 0])


def test_accuracy() -> None:
    assert metrics.accuracy(PROBABILITIES, LABELS) == 0.5


def test_top_k_accuracy() -> None:
    assert metrics.top_k_accuracy(PROBABILITIES, LABELS, 1) == 0.5
    assert metrics.top_k_accuracy(PROBABILITIES, LABELS, 2) == 0.75
    assert metrics.top_k_accuracy(PROBABILITIES, LABELS, 5) == 1.0


def test_calibration_error() -> None:
    """Two bins: 0.4 and 0.4 with one correct, 0.7 and 0.6 with one correct: (|1 - 0.8| + |1 - 1.3|) / 4."""
    assert metrics.calibration_error(PROBABILITIES, LABELS, bins=2) == pytest.approx(0.125)


def test_calibration_error_of_certain_predictions() -> None:
    certain = np.eye(3)
    assert metrics.calibration_error(certain, np.array([0, 1, 2])) == 0
    assert metrics.calibration_error(certain, np.array([1, 2, 0])) == 1


def test_confusion() -> None:
    assert metrics.confusion(PROBABILITIES, LABELS).tolist() == [[1, 0, 1], [0, 1, 1], [0, 0, 0]]
