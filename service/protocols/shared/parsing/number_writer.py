"""Writes large arrays of numbers as JSON, in pieces between which other threads can run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

# The numbers that are written in one call, which takes two milliseconds.
STEP_NUMBERS = 8 * 1024


def numbers_to_json(numbers: NDArray[Any], inf_nan_mode: Literal["null", "constants"]) -> bytes:
    """The array as nested lists; the time and the memory are those of the text."""
    return b"".join(_pieces(numbers, inf_nan_mode))


def _pieces(numbers: NDArray[Any], inf_nan_mode: Literal["null", "constants"]) -> Iterator[bytes]:
    if numbers.size <= STEP_NUMBERS:
        yield to_json(numbers.tolist(), inf_nan_mode=inf_nan_mode)
        return
    size = int(np.prod(numbers.shape[1:]))
    rows = max(1, STEP_NUMBERS // size)
    separator = b"["
    for start in range(0, len(numbers), rows):
        yield separator
        if size > STEP_NUMBERS:
            yield from _pieces(numbers[start], inf_nan_mode)
        else:
            yield to_json(numbers[start : start + rows].tolist(), inf_nan_mode=inf_nan_mode)[1:-1]
        separator = b","
    yield b"]"
