"""Parsing of inference requests of the Open Inference Protocol."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ConvserveError, InvalidInput, PayloadTooLarge
from service.imaging.decode_pool import EncodedImage
from service.protocols.open_inference.infer_request import RequestedOutput
from service.protocols.open_inference.rest_codec import read_request
from service.repository.manifest import Manifest
from tests.support.models.gray_classifier import SIDE, image, publish_shades, rows
from tests.support.requests.infer_bodies import (
    JSON_LIMITS,
    MAX_ROWS,
    PIXELS,
    binary,
    decode,
    document,
    read,
    read_content,
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = publish_shades(tmp_path_factory.mktemp("models"))
    return Manifest.model_validate_json((folder / "manifest.json").read_bytes())


def test_json_numbers(manifest: Manifest) -> None:
    request = read(manifest, {"id": "x", **document()})
    assert request.id == "x"
    assert request.timeout is None
    assert request.outputs == [RequestedOutput("probabilities")]
    content = decode(manifest, request)
    assert isinstance(content, np.ndarray)
    np.testing.assert_array_equal(content, rows(7))


def test_binary_data_after_the_json(manifest: Manifest) -> None:
    both = rows(1, 2)
    content = read_content(manifest, binary(2 * PIXELS, shape=[2, SIDE, SIDE, 1]), tail=both.tobytes())
    assert isinstance(content, np.ndarray)
    np.testing.assert_array_equal(content, both)


def test_missing_id_is_generated(manifest: Manifest) -> None:
    ids = {read(manifest, document()).id for _ in range(10)}
    assert len(ids) == 10
    assert read(manifest, {"id": "", **document()}).id != ""


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_images_as_base64_or_as_bytes(manifest: Manifest, shape: list[int]) -> None:
    one, two = image(1), image(2)
    texts = [base64.b64encode(one).decode(), f"data:image/png;base64,{base64.b64encode(two).decode()}"]
    in_json = read_content(manifest, document(datatype="BYTES", shape=shape, data=texts))
    tail = b"".join(struct.pack("<I", len(data)) + data for data in (one, two))
    behind = read_content(manifest, binary(len(tail), datatype="BYTES", shape=shape), tail=tail)
    assert in_json == behind == [EncodedImage(one), EncodedImage(two)]


def test_nested_base64(manifest: Manifest) -> None:
    texts = [[base64.b64encode(image(value)).decode()] for value in (1, 2)]
    content = read_content(manifest, document(datatype="BYTES", shape=[2, 1], data=texts))
    assert content == [EncodedImage(image(1)), EncodedImage(image(2))]
    for shape, data in (([2], texts), ([2, 1], [texts[0], []]), ([2, 1], [texts]), ([2, 1], [texts[0] * 2])):
        with pytest.raises(InvalidInput, match=r"is not a list of \d base64 strings"):
            read_content(manifest, document(datatype="BYTES", shape=shape, data=data))


def test_null_members_are_unset(manifest: Manifest) -> None:
    tensor = {**document()["inputs"][0], "parameters": None}
    outputs = [{"name": "probabilities", "parameters": None}]
    request = read(manifest, {"id": None, "parameters": None, "inputs": [tensor], "outputs": outputs})
    assert request.outputs == [RequestedOutput("probabilities")]


@pytest.mark.parametrize(
    ("body", "is_row"),
    [
        (bytes(PIXELS), True),
        (bytes([255]) * PIXELS, True),
        (bytes(PIXELS - 1), False),
        (bytes(PIXELS + 1), False),
        (b"", False),
        # Images with exactly a row's number of bytes.
        (image(7)[:PIXELS].ljust(PIXELS, b"\0"), False),
        (image(7, form="JPEG")[:PIXELS], False),
        (image(7, form="GIF")[:PIXELS].ljust(PIXELS, b"\0"), False),
        (image(7, form="WebP")[:PIXELS].ljust(PIXELS, b"\0"), False),
    ],
)
def test_raw_binary_request_is_a_row_or_an_image(manifest: Manifest, body: bytes, is_row: bool) -> None:
    request = read_request(body, "0", manifest, JSON_LIMITS)
    content = decode(manifest, request)
    assert isinstance(content, np.ndarray) == is_row
    data = content.tobytes() if isinstance(content, np.ndarray) else content[0].data
    assert data == body
    assert request.outputs == [RequestedOutput("probabilities", binary=True)]


@pytest.mark.parametrize(
    "header",
    [
        "-1",
        "+2",
        "1.0",
        "1e1",
        " ",
        "",
        "x",
        "0x10",
        "٣",
        "²",
        "1_0",
        "999999",
        "9" * 18,
        "9" * 19,
        "1" * 5000,
    ],
)
def test_invalid_header_length(manifest: Manifest, header: str) -> None:
    with pytest.raises(InvalidInput, match="Inference-Header-Content-Length must be a number from 0 to the"):
        read_request(json.dumps(document()).encode(), header, manifest, JSON_LIMITS)


@given(st.binary(max_size=80), st.one_of(st.none(), st.text(max_size=6), st.integers(-1, 100).map(str)))
def test_any_body_is_parsed_or_rejected(manifest: Manifest, body: bytes, header: str | None) -> None:
    try:
        read_request(body, header, manifest, JSON_LIMITS)
    except ConvserveError:
        return
    assert header is not None
    assert int(header) == 0


@given(st.integers(0, 2 * PIXELS), st.integers(0, 2 * PIXELS), st.integers(-1, 3))
def test_missing_and_extra_bytes_are_rejected(manifest: Manifest, declared: int, sent: int, n: int) -> None:
    request = binary(declared, shape=[n, SIDE, SIDE, 1])
    try:
        read_content(manifest, request, tail=bytes(sent))
    except InvalidInput:
        assert not declared == sent == n * PIXELS or n < 1
    else:
        assert declared == sent == n * PIXELS


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**70), 2**70) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["name", "shape", "datatype", "data", "parameters"]), json_values)
def test_any_changed_input_is_parsed_or_rejected(manifest: Manifest, member: str, value: Any) -> None:
    request = document()
    request["inputs"][0][member] = value
    try:
        read_content(manifest, request)
    except ConvserveError:
        return
    assert member == "parameters" or value == document()["inputs"][0][member]


@given(st.sampled_from(["id", "parameters", "inputs", "outputs", "other"]), json_values)
def test_any_changed_request_is_parsed_or_rejected(manifest: Manifest, member: str, value: Any) -> None:
    try:
        read(manifest, {**document(), member: value})
    except ConvserveError:
        return
    assert member != "inputs"


parameters = st.dictionaries(
    st.sampled_from(
        ["timeout", "priority", "binary_data_output", "sequence_id", "headers", "triton_x", "anything"]
    ),
    json_values,
)


@given(parameters)
def test_any_parameters_are_parsed_or_rejected(manifest: Manifest, parameters: dict[str, Any]) -> None:
    try:
        request = read(manifest, {**document(), "parameters": parameters})
    except InvalidInput:
        return
    assert "triton_x" not in parameters
    assert not any(isinstance(value, list | dict) for value in parameters.values())
    assert request.timeout == (parameters.get("timeout", 0) / 1e6 or None)


def test_unknown_parameters_are_ignored(manifest: Manifest) -> None:
    parameters = {"sequence_id": 5, "sequence_start": True, "sequence_end": False, "headers": "h", "x": 0.5}
    request = read(
        manifest, {**document(), "parameters": {**parameters, "timeout": 1_500_000, "priority": 1}}
    )
    assert request.timeout == 1.5


@pytest.mark.parametrize(
    ("outputs", "default", "wanted"),
    [
        (None, {}, RequestedOutput("probabilities")),
        ([], {"binary_data_output": True}, RequestedOutput("probabilities", binary=True)),
        ([{}], {"binary_data_output": True}, RequestedOutput("probabilities", binary=True)),
        ([{"binary_data": False}], {"binary_data_output": True}, RequestedOutput("probabilities")),
        ([{"binary_data": True}], {}, RequestedOutput("probabilities", binary=True)),
        ([{"classification": 3}], {}, RequestedOutput("probabilities", classification=3)),
        ([{"classification": 2**63 - 1}], {}, RequestedOutput("probabilities", classification=2**63 - 1)),
    ],
)
def test_requested_outputs(
    manifest: Manifest, outputs: list[dict[str, Any]] | None, default: dict[str, Any], wanted: RequestedOutput
) -> None:
    named = outputs and [{"name": "probabilities", "parameters": given} for given in outputs]
    request = read(manifest, {**document(), "parameters": default, "outputs": named})
    assert list(request.outputs) == [wanted]


@pytest.mark.parametrize("count", [MAX_ROWS + 1, 2**31, 2**60, 2**63 - 1])
@pytest.mark.parametrize("tail", [(SIDE, SIDE, 1), ()])
def test_too_many_rows(manifest: Manifest, count: int, tail: tuple[int, ...]) -> None:
    datatype = "UINT8" if tail else "BYTES"
    with pytest.raises(PayloadTooLarge, match="a request holds at most 256"):
        read_content(manifest, binary(datatype=datatype, shape=[count, *tail]), tail=bytes(PIXELS))


def test_header_length_of_the_whole_body(manifest: Manifest) -> None:
    text = json.dumps(document()).encode()
    request = read_request(text, str(len(text)), manifest, JSON_LIMITS)
    assert isinstance(decode(manifest, request), np.ndarray)
