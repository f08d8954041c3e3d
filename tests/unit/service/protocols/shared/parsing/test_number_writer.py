from __future__ import annotations

import json
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from service.protocols.shared.parsing import number_writer
from service.protocols.shared.parsing.number_writer import numbers_to_json


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 30))
def test_text_equals_that_of_the_whole_array(shape: list[int], step: int) -> None:
    numbers = np.random.default_rng(step).random(shape, np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(number_writer, "STEP_NUMBERS", step)
        text = numbers_to_json(numbers, "null")
    assert text == to_json(numbers.tolist())


@pytest.mark.parametrize(
    ("mode", "expected"), [("null", [None] * 3), ("constants", [float("inf"), float("-inf"), 0.5])]
)
def test_numbers_that_are_not_finite(mode: Literal["null", "constants"], expected: list[object]) -> None:
    numbers = np.array([np.inf, -np.inf, 0.5 if mode == "constants" else np.nan], np.float32)
    assert json.loads(numbers_to_json(numbers, mode)) == expected
