from __future__ import annotations

import keras
import numpy as np
import pytest

from export.datasets.dataset import InMemoryExamples
from export.errors import VerificationError
from export.evaluation.verify import PARITY_TOLERANCE, check_parameters, check_parity, evaluate

OUTPUTS = np.array([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]], dtype=np.float32)


def test_equal_outputs_pass() -> None:
    parity = check_parity(OUTPUTS, OUTPUTS.copy())
    assert (parity.examples, parity.max_abs_difference, parity.argmax_equal) == (3, 0.0, True)


def test_small_difference_passes_and_is_reported() -> None:
    found = OUTPUTS + np.array([[4e-6, 0], [0, 0], [0, 0]], dtype=np.float32)
    assert check_parity(OUTPUTS, found).max_abs_difference == pytest.approx(4e-6, rel=0.05)


def test_large_difference_is_rejected() -> None:
    found = OUTPUTS.copy()
    found[0, 0] += 2 * PARITY_TOLERANCE
    with pytest.raises(VerificationError, match=r"differ by up to 2\.0e-05 on 3 images, the limit is 1e-05"):
        check_parity(OUTPUTS, found)


def test_other_predicted_class_is_rejected() -> None:
    found = OUTPUTS + np.array([[0, 0], [0, 0], [0, 1e-7]], dtype=np.float32)
    with pytest.raises(VerificationError, match="the predicted class differs on 1 of 3 images"):
        check_parity(OUTPUTS, found)


def test_nan_is_rejected() -> None:
    with pytest.raises(VerificationError, match="differ by up to nan"):
        check_parity(OUTPUTS, np.full_like(OUTPUTS, np.nan))
    with pytest.raises(VerificationError, match="differ by up to nan"):
        check_parity(np.full_like(OUTPUTS, np.nan), np.full_like(OUTPUTS, np.nan))


def test_unexpected_parameter_count_is_rejected() -> None:
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)], name="small")
    check_parameters(network, 16)
    with pytest.raises(VerificationError, match="small has 16 parameters, expected 1,000"):
        check_parameters(network, 1000)


def test_evaluate_computes_the_metrics() -> None:
    test = InMemoryExamples(np.zeros((3, 1, 1, 1), np.uint8), np.array([0, 0, 0]))
    evaluation = evaluate(OUTPUTS, test, "some digits")
    assert (evaluation.dataset, evaluation.examples) == ("some digits", 3)
    assert evaluation.accuracy == pytest.approx(2 / 3)
    assert evaluation.top5 == 1.0
    assert evaluation.predicted == (2, 1)
    assert evaluation.calibration_error == pytest.approx((0.75 - 0.0 - (1 - 0.75) + 0.5) / 3)
