from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput, PayloadTooLarge
from service.protocols.shared.parsing import number_array
from service.protocols.shared.parsing.number_array import MAX_AXES, find_array


def read(text: bytes, max_numbers: int = 1_000_000) -> Any:
    """The array that the text begins with; None if there is none."""
    array = find_array(text, 0, len(text), max_numbers)
    return None if array is None else array.parse("pixels")


numbers = st.one_of(
    st.integers(-(10**25), 10**25),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, 255, -0.0, 1e-400, 10**30]),
)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Nested lists of a regular shape."""
    values: Any = draw(st.lists(numbers, min_size=1, max_size=6))
    for _ in range(draw(st.integers(0, 3))):
        length = draw(st.integers(1, 3))
        values = [values] * length
    return values


@given(arrays(), st.sampled_from([None, 1, 3]), st.integers(1, 40))
def test_arrays_equal_those_of_a_parser(values: Any, indent: int | None, step: int) -> None:
    expected = np.array(values)
    if expected.dtype.kind not in "iuf":
        expected = np.array(values, np.float64)
    text = json.dumps(values, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(number_array, "STEP_BYTES", step)
        found = read(text)
        np.testing.assert_array_equal(found, expected, strict=found.dtype == expected.dtype)
        patch.setattr(number_array, "PIECE_BYTES", 400 + step)
        np.testing.assert_array_equal(read(text), expected)


@given(st.text(alphabet="[],01-.eE+ N", min_size=1, max_size=24))
def test_text_is_accepted_only_if_a_parser_accepts_it(text: str) -> None:
    try:
        found = read(b"[" + text.encode())
    except InvalidInput:
        return
    if found is not None:
        end = text.rindex("]") + 1
        np.testing.assert_array_equal(found, np.array(json.loads("[" + text[:end])))


@pytest.mark.parametrize(
    "text",
    [
        b"[1,2",
        b"[1,[2]]",
        b"[[1],[2,3]]",
        b"[[1],2]",
        b"[1[],[2]]",
        b"[[]1,[2]]",
        b"[[1]2,[3]]",
        b"[[1][2]]",
        b'[1,{"a":2}]',
        b"[true,false]",
        b"[null]",
        b"1",
        b"",
        b"]",
        b"[" * (MAX_AXES + 1) + b"1" + b"]" * (MAX_AXES + 1),
    ],
)
def test_other_text_is_left_to_the_parser(text: bytes) -> None:
    assert find_array(text, 0, len(text), 100) is None


INVALID = [b"[]", b"[1,]", b"[,1]", b"[1,,2]", b"[1 2]", b"[01]", b"[.5]", b"[+1]", b"[- 1]", b"[[],[]]"]
INVALID += [b"[1e]", b"[" + b"9" * 400 + b"]", b"[" + b" " * 70_000 + b"1,2]", b"[[1,2],[3 ,]]"]


@pytest.mark.parametrize("text", INVALID, ids=range(len(INVALID)))
def test_invalid_numbers(text: bytes) -> None:
    with pytest.raises(InvalidInput, match="the data of input 'pixels' is not a regular array of numbers"):
        read(text)


def test_too_many_numbers() -> None:
    assert read(b"[1,2,3]", 3).tolist() == [1, 2, 3]
    with pytest.raises(PayloadTooLarge, match=r"more than 2 numbers \(CONVSERVE_MAX_JSON_VALUES\)"):
        read(b"[1,2,3]", 2)


def test_array_ends_before_other_members() -> None:
    text = b'[[1],[2]] } ], "next": [3]'
    array = find_array(text, 0, text.index(b'"'), 10)
    assert array is not None
    assert (array.end, array.shape) == (9, (2, 1))
