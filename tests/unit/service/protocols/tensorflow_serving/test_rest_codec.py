"""Parsing of TensorFlow Serving's request bodies."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ConvserveError, InvalidInput, PayloadTooLarge
from service.imaging.decode_pool import EncodedImage
from service.protocols.tensorflow_serving.rest_codec import read_classify, read_predict
from service.repository.manifest import InputSpec
from tests.support.models.gray_classifier import image
from tests.support.requests.infer_bodies import JSON_LIMITS

MOST = 256
SPEC = InputSpec(
    name="pixels",
    dtype="uint8",
    layout="NHWC",
    height=2,
    width=3,
    channels=1,
    resize="stretch",
    polarity=None,
    scale=None,
    mean=None,
    std=None,
)
ROW = [[[0], [1], [2]], [[3], [4], [255]]]
OTHER = [[[9], [9], [9]], [[9], [9], [9]]]
IMAGES = [image(1), image(2)]
B64 = [{"b64": base64.b64encode(data).decode()} for data in IMAGES]


def predict(**members: Any) -> tuple[Any, str]:
    return read_predict(json.dumps(members).encode(), SPEC, MOST, JSON_LIMITS)


def classify(**members: Any) -> Any:
    return read_classify(json.dumps(members).encode(), SPEC, MOST, JSON_LIMITS)


@pytest.mark.parametrize(
    "members",
    [
        {"instances": [ROW, OTHER]},
        {"instances": [{"pixels": ROW}, {"pixels": OTHER}]},
        {"instances": [ROW, {"pixels": OTHER}], "signature_name": "serving_default"},
        {"inputs": [ROW, OTHER]},
        {"inputs": {"pixels": [ROW, OTHER]}, "signature_name": ""},
    ],
    ids=str,
)
def test_tensors_in_row_and_columnar_format(members: dict[str, Any]) -> None:
    content, key = predict(**members)
    np.testing.assert_array_equal(content, [ROW, OTHER])
    assert content.dtype == np.uint8
    assert key == ("predictions" if "instances" in members else "outputs")


@pytest.mark.parametrize(
    ("members", "count"),
    [
        ({"instances": B64}, 2),
        ({"instances": [{"pixels": each} for each in B64]}, 2),
        ({"inputs": B64}, 2),
        ({"inputs": {"pixels": B64}}, 2),
        ({"inputs": B64[0]}, 1),
        ({"inputs": {"pixels": B64[0]}}, 1),
    ],
)
def test_encoded_images_in_row_and_columnar_format(members: dict[str, Any], count: int) -> None:
    content, _ = predict(**members)
    assert content == [EncodedImage(data) for data in IMAGES[:count]]


@pytest.mark.parametrize(
    "members",
    [
        {"examples": [{"image": each} for each in B64]},
        {"examples": [{"anything": each} for each in B64], "signature_name": "serving_default"},
        {"examples": [{"image": B64[0]}, {"photo": B64[1]}], "context": {}},
    ],
)
def test_examples(members: dict[str, Any]) -> None:
    assert classify(**members) == [EncodedImage(data) for data in IMAGES]


def test_examples_of_pixels_and_a_context() -> None:
    np.testing.assert_array_equal(classify(examples=[{"x": ROW}, {"x": OTHER}]), [ROW, OTHER])
    assert classify(context={"image": B64[0]}, examples=[{}, {}]) == [EncodedImage(IMAGES[0])] * 2
    assert classify(context={"image": B64[0]}, examples=[{"image": B64[1]}]) == [EncodedImage(IMAGES[1])]
    repeated = classify(context={"x": ROW}, examples=[{}, {"x": OTHER}, {}])
    np.testing.assert_array_equal(repeated, [ROW, OTHER, ROW])


def test_pixels_of_the_context_count_for_each_example() -> None:
    body = json.dumps({"context": {"x": ROW}, "examples": [{}] * 100}).encode()
    assert len(read_classify(body, SPEC, MOST, replace(JSON_LIMITS, max_values=600))) == 100
    with pytest.raises(PayloadTooLarge, match="more than 599 numbers"):
        read_classify(body, SPEC, MOST, replace(JSON_LIMITS, max_values=599))


REJECTED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "needs exactly one of 'instances' and 'inputs'"),
    "both": ({"instances": [ROW], "inputs": [ROW]}, "needs exactly one of 'instances' and 'inputs'"),
    "no list": ({"instances": {"pixels": ROW}}, "'instances' must be a list with one element per image"),
    "null": ({"instances": None}, "'instances' must be a list"),
    "no instances": ({"instances": []}, "has 0 rows; a request holds at least 1"),
    "another name": ({"instances": [{"image": ROW}]}, r"one input, 'pixels'; the request has \['image'\]"),
    "two names": ({"inputs": {"pixels": [ROW], "more": 1}}, r"the request has \['pixels', 'more'\]"),
    "inputs null": ({"inputs": None}, r"'inputs' must be a tensor; expected UINT8 of shape \[n, 2, 3, 1\]"),
    "inputs a number": ({"inputs": {"pixels": 7}}, "'inputs' must be a tensor"),
    "mixed": ({"instances": [ROW, B64[0]]}, "instances has both encoded images and tensors"),
    "flat": ({"instances": [[0, 1, 2, 3, 4, 5]]}, r"instances has shape \[1, 6\]; expected UINT8 of shape"),
    "one row as the tensor": ({"inputs": ROW}, r"inputs has shape \[2, 3, 1\]; expected"),
    "ragged": ({"instances": [ROW, [[[0], [1]], [[3], [4]]]]}, "not a regular array of numbers"),
    "strings": ({"instances": ["AAAA"]}, "not a regular array of numbers"),
    "scaled": ({"instances": [(np.array(ROW) / 255).tolist()]}, "send unscaled pixels"),
    "beyond": ({"instances": [(np.array(ROW) + 1).tolist()]}, "the data ranges from 1 to 256"),
    "b64 of a number": ({"instances": [{"b64": 7}]}, r"instances\.0\.b64 must be a string"),
    "wrong base64": ({"instances": [B64[0], {"b64": "?"}]}, r"instances\.1\.b64 is not valid base64"),
    "another signature": ({"signature_name": "x", "instances": [ROW]}, "unknown signature 'x'"),
    "a number as signature": ({"signature_name": 7, "instances": [ROW]}, "signature_name: Input should be"),
}


@pytest.mark.parametrize(("members", "sentence"), REJECTED.values(), ids=REJECTED)
def test_invalid_predict_bodies(members: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        predict(**members)


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({}, "examples: Field required"),
        ({"examples": {}}, "examples: Input should be a valid array"),
        ({"examples": []}, "has 0 rows"),
        ({"examples": [7]}, r"examples\.0: Input should be an object"),
        ({"examples": [{}]}, "must have exactly one feature"),
        ({"examples": [{"a": B64[0], "b": B64[0]}]}, "must have exactly one feature"),
        (
            {"context": {"a": 1}, "examples": [{"image": B64[0]}]},
            "each example must have exactly one feature",
        ),
        ({"context": 7, "examples": [{"image": B64[0]}]}, "context: Input should be an object"),
        ({"examples": [{"image": "text"}]}, "not a regular array of numbers"),
    ],
    ids=str,
)
def test_invalid_classify_bodies(members: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        classify(**members)


def test_too_many_rows() -> None:
    with pytest.raises(PayloadTooLarge, match="has 257 rows; a request holds at most 256"):
        predict(instances=[ROW] * 257)
    # Checked before joining with the context, which would multiply both.
    with pytest.raises(PayloadTooLarge, match="has 257 rows; a request holds at most 256"):
        classify(context={"a": 1, "b": 2}, examples=[{}] * 257)


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"7", b"\xff", b'{"instances":' + b"[" * 99])
def test_json_that_is_not_an_object(body: bytes) -> None:
    for read in (read_predict, read_classify):
        with pytest.raises(InvalidInput, match="the body: "):
            read(body, SPEC, MOST, JSON_LIMITS)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-1, 256) | st.text(max_size=4) | st.just(2**70),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["b64", "pixels", "x"]), inner, max_size=2)
    ),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.sampled_from(["instances", "inputs", "examples", "context", "signature_name"]), json_values
    )
)
def test_any_members_are_parsed_or_rejected(members: dict[str, Any]) -> None:
    body = json.dumps(members).encode()
    for read in (read_predict, read_classify):
        try:
            read(body, SPEC, MOST, JSON_LIMITS)
        except ConvserveError:
            continue
        assert members.keys() & {"instances", "inputs", "examples"}


@given(st.binary(max_size=200))
def test_any_bytes_are_rejected(body: bytes) -> None:
    for read in (read_predict, read_classify):
        with pytest.raises(InvalidInput):
            read(body, SPEC, MOST, JSON_LIMITS)
