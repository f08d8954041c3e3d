from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.inference.top_k import rank, softmax

LABELS = ["a", "b", "c", "d"]

SCORES = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 5), st.just(4)), elements=st.floats(0, 1, width=32, allow_nan=False)
)


@given(SCORES, st.integers(1, 6))
def test_rank_sorts_by_probability_and_then_by_index(
    scores: np.ndarray[tuple[int, int], np.dtype[np.float32]], top_k: int
) -> None:
    for row, ranked in zip(scores.tolist(), rank(scores, LABELS, top_k), strict=True):
        expected = sorted(range(4), key=lambda index: (-row[index], index))[:top_k]
        assert [prediction.index for prediction in ranked] == expected
        assert [prediction.label for prediction in ranked] == [LABELS[index] for index in expected]
        assert [prediction.probability for prediction in ranked] == [row[index] for index in expected]


def test_softmax_does_not_overflow_for_huge_logits() -> None:
    logits = np.array([[1e4, 1e4, 0, -1e4], [0, 0, 0, 0]], dtype=np.float32)
    assert softmax(logits) == pytest.approx(np.array([[0.5, 0.5, 0, 0], [0.25] * 4]))
    assert softmax(logits).dtype == np.float32
