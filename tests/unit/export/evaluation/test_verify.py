from __future__ import annotations

import keras
import numpy as np
import pytest

from export.datasets.dataset import Split
from export.errors import VerificationError
from export.evaluation.verify import PARITY_TOLERANCE, check_parameters, check_parity, evaluate

ANSWERS = np.array([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]], dtype=np.float32)


def test_equal_answers_are_parity() -> None:
    parity = check_parity(ANSWERS, ANSWERS.copy())
    assert (parity.examples, parity.max_abs_difference, parity.argmax_equal) == (3, 0.0, True)


def test_a_small_difference_is_let_pass_and_told() -> None:
    found = ANSWERS + np.array([[4e-6, 0], [0, 0], [0, 0]], dtype=np.float32)
    assert check_parity(ANSWERS, found).max_abs_difference == pytest.approx(4e-6, rel=0.05)


def test_a_large_difference_is_refused() -> None:
    found = ANSWERS.copy()
    found[0, 0] += 2 * PARITY_TOLERANCE
    with pytest.raises(VerificationError, match=r"differ by up to 2\.0e-05 on 3 pictures, 1e-05 is allowed"):
        check_parity(ANSWERS, found)


def test_another_decision_is_refused_however_small_the_difference() -> None:
    found = ANSWERS + np.array([[0, 0], [0, 0], [0, 1e-7]], dtype=np.float32)
    with pytest.raises(VerificationError, match="decides otherwise on 1 of 3 pictures"):
        check_parity(ANSWERS, found)


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(VerificationError, match="differ by up to nan"):
        check_parity(ANSWERS, np.full_like(ANSWERS, np.nan))
    with pytest.raises(VerificationError, match="differ by up to nan"):
        check_parity(np.full_like(ANSWERS, np.nan), np.full_like(ANSWERS, np.nan))


def test_a_network_of_another_size_is_refused() -> None:
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)], name="small")
    check_parameters(network, 16)
    with pytest.raises(VerificationError, match="small has 16 parameters, not the 1,000 of its description"):
        check_parameters(network, 1000)


def test_evaluation_scores_the_answers() -> None:
    test = Split(np.zeros((3, 1, 1, 1), np.uint8), np.array([0, 0, 0]))
    evaluation = evaluate(ANSWERS, test, "some digits")
    assert (evaluation.dataset, evaluation.examples) == ("some digits", 3)
    assert evaluation.accuracy == pytest.approx(2 / 3)
    assert evaluation.top5 == 1.0
    assert evaluation.predicted == (2, 1)
    assert evaluation.calibration_error == pytest.approx((0.75 - 0.0 - (1 - 0.75) + 0.5) / 3)
