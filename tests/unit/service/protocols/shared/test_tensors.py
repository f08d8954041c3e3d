from __future__ import annotations

import json
import math
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput, PayloadTooLarge
from service.imaging.decode_pool import EncodedImage
from service.protocols.shared.tensors import (
    Elements,
    JsonValues,
    Numbers,
    RawBytes,
    TensorPayload,
    check_count,
    check_image_shape,
    check_shape,
    decode_tensor,
    elements_from_bytes,
    elements_to_bytes,
    parse_numbers,
    rows_from_bytes,
    rows_from_json,
)
from service.repository.manifest import InputSpec

MAX_ROWS = 256
SHAPE = (2, 3, 1)
HUGE = [2**31, 2**32, 2**60, 2**62, 2**63, 2**64, 10**400]


def spec(dtype: Literal["uint8", "float32"] = "uint8", height: int = 2, width: int = 3) -> InputSpec:
    return InputSpec(
        name="pixels",
        dtype=dtype,
        layout="NHWC",
        height=height,
        width=width,
        channels=1,
        resize="stretch",
        polarity=None,
        scale=None,
        mean=None,
        std=None,
    )


axes = st.one_of(st.integers(-3, 300), st.sampled_from([*HUGE, *(-size for size in HUGE)]))


@given(st.one_of(st.lists(axes, max_size=6), st.builds(lambda n: [n, *SHAPE], axes)))
def test_shapes_must_match_the_model(shape: list[int]) -> None:
    try:
        count = check_shape(shape, spec(), MAX_ROWS)
    except InvalidInput:
        assert shape[1:] != list(SHAPE) or shape[0] < 1
    except PayloadTooLarge:
        assert shape[1:] == list(SHAPE)
        assert shape[0] > MAX_ROWS
    else:
        assert shape == [count, *SHAPE]
        assert 1 <= count <= MAX_ROWS


@given(st.lists(axes, max_size=3))
def test_shapes_of_encoded_images(shape: list[int]) -> None:
    try:
        count = check_image_shape(shape, spec(), MAX_ROWS)
    except (InvalidInput, PayloadTooLarge):
        assert len(shape) not in (1, 2) or shape[1:] not in ([], [1]) or not 1 <= shape[0] <= MAX_ROWS
    else:
        assert shape in ([count], [count, 1])


def test_row_limit() -> None:
    assert check_count(MAX_ROWS, spec(), MAX_ROWS) == MAX_ROWS
    with pytest.raises(PayloadTooLarge, match=r"has 257 rows; a request holds at most 256 \(CONVSERVE_MAX"):
        check_count(MAX_ROWS + 1, spec(), MAX_ROWS)


@given(st.binary(max_size=100), st.integers(1, 8), st.sampled_from(["uint8", "float32"]))
def test_number_of_bytes_must_match(data: bytes, count: int, dtype: Literal["uint8", "float32"]) -> None:
    size = count * math.prod(SHAPE) * (1 if dtype == "uint8" else 4)
    if len(data) != size:
        with pytest.raises(InvalidInput, match=f"has {len(data)} bytes of data; .* need {size}"):
            rows_from_bytes(data, count, spec(dtype))
        data = (data + bytes(size))[:size]
    rows = rows_from_bytes(memoryview(data), count, spec(dtype))
    assert (rows.shape, rows.dtype) == ((count, *SHAPE), np.dtype(dtype))
    assert rows.tobytes() == data  # on little-endian machines


def nested(flat: list[Any], shape: tuple[int, ...]) -> Any:
    if not shape:
        return flat[0]
    step = len(flat) // shape[0]
    return [nested(flat[start : start + step], shape[1:]) for start in range(0, len(flat), step)]


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.integers(0, 255), min_size=6 * n, max_size=6 * n)))
def test_json_data_may_be_flat_or_nested(flat: list[int]) -> None:
    count = len(flat) // 6
    for data in (flat, nested(flat, (count, *SHAPE)), [float(value) for value in flat]):
        rows = rows_from_json(data, count, spec())
        assert (rows.dtype, rows.shape) == (np.dtype("uint8"), (count, *SHAPE))
        assert rows.ravel().tolist() == flat


@given(st.lists(st.floats(width=32), min_size=6, max_size=6))
def test_float32_survives_json(flat: list[float]) -> None:
    rows = rows_from_json(json.loads(json.dumps(flat)), 1, spec("float32"))
    np.testing.assert_array_equal(rows.ravel(), np.array(flat, np.float32))


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=3), st.just(2**70)),
        lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(st.text(max_size=2), inner)),
        max_leaves=20,
    ),
    st.sampled_from(["uint8", "float32"]),
)
def test_any_other_json_is_rejected(data: Any, dtype: Literal["uint8", "float32"]) -> None:
    with pytest.raises(InvalidInput):
        rows_from_json(data, 7, spec(dtype))


@pytest.mark.parametrize(
    "data",
    [
        None,
        "012345",
        {"0": 1},
        [0, 1, 2, 3, 4, None],
        [0, 1, 2, 3, 4, "5"],
        [True, 1, 2, 3, 4, 5],  # NumPy would convert it to 1
        [0, 1, 2, 3, 4, 10**400],  # too large for NumPy's types
        [0, 1, 2, 3, [4], 5],
        [[0, 1, 2], [3, 4]],
        [[[[0], [1], [2]], [[3], [4], 5]]],
        [0, 1, 2, 3, 4, []],
    ],
    ids=str,
)
def test_irregular_arrays_are_rejected(data: Any) -> None:
    with pytest.raises(InvalidInput, match="the data of input 'pixels' is not a regular array of numbers"):
        rows_from_json(data, 1, spec())


@pytest.mark.parametrize("depth", [64, 65, 100, 190])
def test_deeply_nested_numbers(depth: int) -> None:
    data: Any = 1
    for _ in range(depth):
        data = [data]
    with pytest.raises(InvalidInput):
        rows_from_json(data, 1, spec())


@pytest.mark.parametrize("data", [[], [[]], [[[]]], [0] * 5, [0] * 7, [[0] * 6], [[[0]] * 6]], ids=str)
def test_data_that_does_not_match_the_shape(data: Any) -> None:
    with pytest.raises(InvalidInput, match=r"has shape .*, which does not match \[1, 2, 3, 1\]"):
        rows_from_json(data, 1, spec())


@pytest.mark.parametrize("scaled", [0.5, 1 / 255, 1e-300, float("nan")])
def test_scaled_pixels_are_rejected(scaled: float) -> None:
    with pytest.raises(InvalidInput, match=r"the data has fractions: send unscaled pixels"):
        rows_from_json([0, 0, 0, 0, 0, scaled], 1, spec())


@pytest.mark.parametrize("value", [-1, 256, 2**62, 2**63, 2**64, -(2**70), 1e300, math.inf, -math.inf])
def test_pixels_out_of_range_are_rejected(value: float) -> None:
    with pytest.raises(InvalidInput, match="takes integers from 0 to 255; the data ranges from"):
        rows_from_json([0, 0, 0, 0, 0, value], 1, spec())


@pytest.mark.parametrize("value", [1e39, -1e39, 1.7e308])
def test_float32_overflow_is_rejected(value: float) -> None:
    with pytest.raises(InvalidInput, match="takes float32; the data has larger numbers"):
        rows_from_json([0, 0, 0, 0, 0, value], 1, spec("float32"))


def test_large_integers_become_floats() -> None:
    rows = rows_from_json([0, 1, 2, -3, 2**64, 2**100], 1, spec("float32"))
    assert rows.ravel().tolist() == [0, 1, 2, -3, 2.0**64, 2.0**100]


def test_numbers_keep_shape_and_kind() -> None:
    assert parse_numbers([[1, 2], [3, 4]], "x").shape == (2, 2)
    assert parse_numbers(5, "x").shape == ()
    assert parse_numbers([1, 2.5], "x").dtype == np.float64


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=8))
def test_bytes_elements_round_trip(elements: list[bytes]) -> None:
    assert elements_from_bytes(elements_to_bytes(elements), len(elements), "x") == elements


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=8), st.data())
def test_missing_and_extra_bytes_are_rejected(elements: list[bytes], data: st.DataObject) -> None:
    whole = elements_to_bytes(elements)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    longer = whole + data.draw(st.binary(min_size=1, max_size=8))
    for broken, count in ((cut, len(elements)), (longer, len(elements)), (whole, len(elements) + 1)):
        with pytest.raises(InvalidInput, match=r"does not have exactly .* BYTES elements"):
            elements_from_bytes(broken, count, "x")


@given(st.binary(max_size=60), st.integers(1, 4))
def test_arbitrary_bytes_are_elements_or_rejected(data: bytes, count: int) -> None:
    try:
        elements = elements_from_bytes(data, count, "x")
    except InvalidInput:
        return
    assert elements_to_bytes(elements) == data


def test_length_of_four_gigabytes_allocates_nothing() -> None:
    with pytest.raises(InvalidInput, match="does not have exactly 1 BYTES elements"):
        elements_from_bytes(b"\xff\xff\xff\xff" + bytes(8), 1, "x")


@pytest.mark.parametrize(
    "payload",
    [RawBytes(bytes(range(6))), JsonValues([*range(6)]), Numbers([*range(6)], np.uint32)],
    ids=lambda payload: type(payload).__name__,
)
def test_every_payload_of_numbers_decodes_to_the_same_rows(payload: RawBytes | JsonValues | Numbers) -> None:
    rows = decode_tensor(TensorPayload("pixels", "UINT8", [1, *SHAPE], payload), spec(), MAX_ROWS)
    assert isinstance(rows, np.ndarray)
    assert rows.dtype == np.uint8
    assert rows.ravel().tolist() == [*range(6)]


@pytest.mark.parametrize(
    "payload",
    [RawBytes(b"\2\0\0\0ab"), JsonValues(["YWI="]), Elements([b"ab"])],
    ids=lambda payload: type(payload).__name__,
)
def test_every_payload_of_bytes_decodes_to_the_same_images(payload: RawBytes | JsonValues | Elements) -> None:
    tensor = TensorPayload("pixels", "BYTES", [1], payload)
    assert decode_tensor(tensor, spec(), MAX_ROWS) == [EncodedImage(b"ab")]


@pytest.mark.parametrize(
    ("datatype", "shape", "payload", "message"),
    [
        ("UINT8", [1, *SHAPE], Elements([b"ab"]), "has BYTES elements; expected UINT8 of shape"),
        ("BYTES", [1], Numbers([1], np.uint32), "of datatype BYTES has numbers; expected bytes"),
        ("BYTES", [2], Elements([b"ab"]), "has 1 BYTES elements; its shape has 2"),
    ],
)
def test_payload_of_another_kind_is_rejected(
    datatype: str, shape: list[int], payload: Numbers | Elements, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        decode_tensor(TensorPayload("pixels", datatype, shape, payload), spec(), MAX_ROWS)
