"""Bodies of inference requests: understood to the byte, or refused."""

from __future__ import annotations

import base64
import json
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ConvserveError, InvalidInput, PayloadTooLarge
from service.manifest import Manifest
from service.protocols.infer_json import read_request
from service.protocols.inference import InferRequest, RequestedOutput
from tests.shades import SIDE, picture, publish_shades, rows

MOST = 256
PIXELS = SIDE * SIDE


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = publish_shades(tmp_path_factory.mktemp("models"))
    return Manifest.model_validate_json((folder / "manifest.json").read_bytes())


def document(**changes: Any) -> dict[str, Any]:
    """A request of one row, its only input changed."""
    tensor = {"name": "pixels", "shape": [1, SIDE, SIDE, 1], "datatype": "UINT8", "data": [7] * PIXELS}
    return {"inputs": [{key: value for key, value in {**tensor, **changes}.items() if value is not None}]}


def binary(size: int = PIXELS, **changes: Any) -> dict[str, Any]:
    return document(data=None, parameters={"binary_data_size": size}, **changes)


def read(manifest: Manifest, request: Any, *, header: str | None = None, tail: bytes = b"") -> InferRequest:
    """`request` as JSON with `tail` behind it, whose length is told if there is any."""
    text = request if isinstance(request, bytes) else json.dumps(request).encode()
    if header is None and tail:
        header = str(len(text))
    return read_request(text + tail, header, manifest, MOST)


def test_json_numbers(manifest: Manifest) -> None:
    request = read(manifest, {"id": "x", **document()})
    assert request.id == "x"
    assert request.timeout is None
    assert request.outputs == [RequestedOutput("probabilities")]
    assert isinstance(request.content, np.ndarray)
    np.testing.assert_array_equal(request.content, rows(7))


def test_bytes_behind_the_json(manifest: Manifest) -> None:
    both = rows(1, 2)
    request = read(manifest, binary(2 * PIXELS, shape=[2, SIDE, SIDE, 1]), tail=both.tobytes())
    assert isinstance(request.content, np.ndarray)
    np.testing.assert_array_equal(request.content, both)


def test_an_id_is_made_where_none_came(manifest: Manifest) -> None:
    ids = {read(manifest, document()).id for _ in range(10)}
    assert len(ids) == 10
    assert read(manifest, {"id": "", **document()}).id != ""


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_pictures_as_base64_or_as_bytes(manifest: Manifest, shape: list[int]) -> None:
    one, two = picture(1), picture(2)
    texts = [base64.b64encode(one).decode(), f"data:image/png;base64,{base64.b64encode(two).decode()}"]
    said = read(manifest, document(datatype="BYTES", shape=shape, data=texts))
    tail = b"".join(struct.pack("<I", len(data)) + data for data in (one, two))
    behind = read(manifest, binary(len(tail), datatype="BYTES", shape=shape), tail=tail)
    assert said.content == behind.content == [(one, None), (two, None)]


@pytest.mark.parametrize(
    ("body", "is_row"),
    [
        (bytes(PIXELS), True),
        (bytes([255]) * PIXELS, True),
        (bytes(PIXELS - 1), False),
        (bytes(PIXELS + 1), False),
        (b"", False),
        # Pictures of just as many bytes as a row has.
        (picture(7)[:PIXELS].ljust(PIXELS, b"\0"), False),
        (picture(7, form="JPEG")[:PIXELS], False),
        (picture(7, form="GIF")[:PIXELS].ljust(PIXELS, b"\0"), False),
        (picture(7, form="WebP")[:PIXELS].ljust(PIXELS, b"\0"), False),
    ],
)
def test_a_raw_binary_request_is_a_row_or_a_picture(manifest: Manifest, body: bytes, is_row: bool) -> None:
    request = read_request(body, "0", manifest, MOST)
    assert isinstance(request.content, np.ndarray) == is_row
    data = request.content.tobytes() if isinstance(request.content, np.ndarray) else request.content[0].data
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
def test_a_header_length_that_cannot_be(manifest: Manifest, header: str) -> None:
    with pytest.raises(InvalidInput, match="Inference-Header-Content-Length must be a number from 0 to the"):
        read_request(json.dumps(document()).encode(), header, manifest, MOST)


@given(st.binary(max_size=80), st.one_of(st.none(), st.text(max_size=6), st.integers(-1, 100).map(str)))
def test_any_body_with_any_header_is_read_or_refused(
    manifest: Manifest, body: bytes, header: str | None
) -> None:
    try:
        read_request(body, header, manifest, MOST)
    except ConvserveError:
        return
    assert header is not None
    assert int(header) == 0


@given(st.integers(0, 2 * PIXELS), st.integers(0, 2 * PIXELS), st.integers(-1, 3))
def test_missing_and_left_over_bytes_are_refused(manifest: Manifest, told: int, sent: int, n: int) -> None:
    request = binary(told, shape=[n, SIDE, SIDE, 1])
    try:
        read(manifest, request, tail=bytes(sent))
    except InvalidInput:
        assert not told == sent == n * PIXELS or n < 1
    else:
        assert told == sent == n * PIXELS


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**70), 2**70) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["name", "shape", "datatype", "data", "parameters"]), json_values)
def test_an_input_with_any_member_changed_is_read_or_refused(
    manifest: Manifest, member: str, value: Any
) -> None:
    request = document()
    request["inputs"][0][member] = value
    try:
        read(manifest, request)
    except ConvserveError:
        return
    assert member == "parameters" or value == document()["inputs"][0][member]


@given(st.sampled_from(["id", "parameters", "inputs", "outputs", "other"]), json_values)
def test_a_request_with_any_member_changed_is_read_or_refused(
    manifest: Manifest, member: str, value: Any
) -> None:
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
def test_any_parameters_are_read_or_refused(manifest: Manifest, parameters: dict[str, Any]) -> None:
    try:
        request = read(manifest, {**document(), "parameters": parameters})
    except InvalidInput:
        return
    assert "triton_x" not in parameters
    assert not any(isinstance(value, list | dict) for value in parameters.values())
    assert request.timeout == (parameters.get("timeout", 0) / 1e6 or None)


REFUSED_INPUTS: dict[str, tuple[dict[str, Any], str]] = {
    "no input": ({"inputs": []}, r"takes one input, 'pixels'; the request has \[\]"),
    "two inputs": ({"inputs": document()["inputs"] * 2}, r"has \['pixels', 'pixels'\]"),
    "another name": (document(name="image"), r"takes one input, 'pixels'; the request has \['image'\]"),
    "float32": (document(datatype="FP32"), r"datatype FP32; expected UINT8 of shape \[n, 8, 8, 1\]"),
    "fp16": (document(datatype="FP16"), "datatype FP16; expected UINT8"),
    "unknown type": (document(datatype="uint8"), "datatype uint8, which the protocol does not know"),
    "batch missing": (document(shape=[SIDE, SIDE, 1]), r"has shape \[8, 8, 1\]; expected UINT8 of shape"),
    "channels first": (document(shape=[1, 1, SIDE, SIDE]), r"has shape \[1, 1, 8, 8\]; expected"),
    "no rows": (document(shape=[0, SIDE, SIDE, 1], data=[]), "has 0 rows; a request holds at least 1"),
    "negative": (document(shape=[-1, SIDE, SIDE, 1]), "has -1 rows"),
    "overflowing": (document(shape=[1, 2**32, 2**32, 1]), r"has shape \[1, 4294967296, 4294967296, 1\]"),
    "scaled": (document(data=[0.5] * PIXELS), "the data holds fractions: send the pixels as they are"),
    "fewer": (document(data=[0] * 63), r"has shape \[63\], which does not make \[1, 8, 8, 1\]"),
    "no data": (document(data=None), "needs exactly one of data and binary_data_size; it has neither"),
    "null data": ({"inputs": [{**document()["inputs"][0], "data": None}]}, "not a regular array"),
    "both": (document(parameters={"binary_data_size": 64}), "it has binary_data_size, data"),
    "shared memory": (
        document(data=None, parameters={"shared_memory_region": "r"}),
        "needs exactly one of data and binary_data_size; it has shared_memory_region",
    ),
    "size of half": (binary(0.5), "binary_data_size of input 'pixels' must be a whole number, not 0.5"),  # type: ignore[arg-type]
    "negative size": (binary(-1), "must be a whole number, not -1"),
    "true as size": (binary(True), "must be a whole number, not True"),
    "no bytes": (binary(), "expecting 64 additional bytes for input 'pixels'"),
    "bytes as numbers": (document(datatype="BYTES", shape=[1], data=[7]), "not a list of 1 base64 strings"),
    "not base64": (document(datatype="BYTES", shape=[1], data=["?"]), "inputs.0.data.0 is not valid base64"),
    "bytes of pixels": (document(datatype="BYTES"), r"has shape \[1, 8, 8, 1\]; expected UINT8"),
    "inputs missing": ({}, "inputs: Field required"),
    "inputs an object": ({"inputs": {}}, "inputs: Input should be a valid array"),
    "a number as id": ({"id": 7, **document()}, "id: Input should be a valid string"),
    "a string in the shape": (
        document(shape=["1", 8, 8, 1]),
        r"inputs\.0\.shape\.0: Input should be a valid int",
    ),
}


@pytest.mark.parametrize(("request_", "sentence"), REFUSED_INPUTS.values(), ids=REFUSED_INPUTS)
def test_the_sentence_says_what_was_expected_and_what_came(
    manifest: Manifest, request_: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        read(manifest, request_)


REFUSED_PARAMETERS: list[tuple[dict[str, Any], str]] = [
    ({"triton_enable_empty_final_response": True}, "'triton_enable_empty_final_response' is reserved"),
    ({"x": [1]}, "'x' must be a string, a number or a boolean"),
    ({"x": {}}, "'x' must be a string, a number or a boolean"),
    ({"x": None}, "'x' must be a string, a number or a boolean"),
    ({"timeout": -1}, "'timeout' must be a whole number of microseconds, not -1"),
    ({"timeout": 1.5}, "'timeout' must be a whole number of microseconds, not 1.5"),
    ({"timeout": "1"}, "'timeout' must be a whole number of microseconds, not '1'"),
    ({"timeout": True}, "'timeout' must be a whole number of microseconds, not True"),
    ({"timeout": 10**400}, "'timeout' must be a whole number of microseconds, not 1000"),
    ({"priority": -1}, "'priority' must be a whole number from 0, not -1"),
    ({"priority": 2**64}, "'priority' must be a whole number from 0, not 1844"),
    ({"binary_data_output": 1}, "'binary_data_output' must be true or false, not 1"),
]


@pytest.mark.parametrize(("parameters", "sentence"), REFUSED_PARAMETERS, ids=str)
def test_wrong_request_parameters(manifest: Manifest, parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        read(manifest, {**document(), "parameters": parameters})


def test_other_parameters_are_let_pass(manifest: Manifest) -> None:
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
        ([{"classification": 10**30}], {}, RequestedOutput("probabilities", classification=10**30)),
    ],
)
def test_the_form_of_the_output(
    manifest: Manifest, outputs: list[dict[str, Any]] | None, default: dict[str, Any], wanted: RequestedOutput
) -> None:
    named = outputs and [{"name": "probabilities", "parameters": given} for given in outputs]
    request = read(manifest, {**document(), "parameters": default, "outputs": named})
    assert list(request.outputs) == [wanted]


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        ([{"name": "logits"}], "shades has no output 'logits'; it has 'probabilities'"),
        ([{"name": "probabilities"}] * 2, "the output 'probabilities' is requested more than once"),
        (
            [{"name": "probabilities", "parameters": {"classification": 0}}],
            "'classification' must be a whole",
        ),
        (
            [{"name": "probabilities", "parameters": {"classification": True}}],
            "'classification' must be a wh",
        ),
        (
            [{"name": "probabilities", "parameters": {"binary_data": "yes"}}],
            "'binary_data' must be true or f",
        ),
        (
            [{"name": "probabilities", "parameters": {"shared_memory_region": "r"}}],
            "shared memory is not off",
        ),
        ([{}], r"outputs\.0\.name: Field required"),
        ("probabilities", "outputs: Input should be a valid array"),
    ],
)
def test_wrong_outputs(manifest: Manifest, outputs: Any, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        read(manifest, {**document(), "outputs": outputs})


@pytest.mark.parametrize(
    ("request_", "tail"),
    [
        (binary(), bytes(PIXELS + 1)),
        (document(), b"\0"),
        (document(datatype="BYTES", shape=[1], data=["AA=="]), b"x"),
    ],
)
def test_left_over_bytes_are_named(manifest: Manifest, request_: dict[str, Any], tail: bytes) -> None:
    with pytest.raises(InvalidInput, match="unexpected additional input data"):
        read(manifest, request_, tail=tail)


@pytest.mark.parametrize("count", [MOST + 1, 2**31, 2**60, 2**63, 10**400])
@pytest.mark.parametrize("tail", [(SIDE, SIDE, 1), ()])
def test_more_rows_than_a_request_may_hold(manifest: Manifest, count: int, tail: tuple[int, ...]) -> None:
    datatype = "UINT8" if tail else "BYTES"
    with pytest.raises(PayloadTooLarge, match="a request holds at most 256"):
        read(manifest, binary(datatype=datatype, shape=[count, *tail]), tail=bytes(PIXELS))


@pytest.mark.parametrize("depth", [100, 201, 100_000])
@pytest.mark.parametrize("where", [b'{"inputs": %s}', b'{"inputs": [{"data": %s}]}', b'{"other": %s}', b"%s"])
def test_brackets_without_end(manifest: Manifest, depth: int, where: bytes) -> None:
    for text in (where % (b"[" * depth + b"]" * depth), where % (b'{"a":' * depth + b"0" + b"}" * depth)):
        with pytest.raises(InvalidInput):
            read(manifest, text)


WRONG = {
    "inputs that are numbers": (b'{"inputs":[%s0]}', b"0,"),
    "inputs without members": (b'{"inputs":[%s0]}', b"{},"),
    "axes that are strings": (b'{"inputs":[{"name":"pixels","datatype":"UINT8","shape":[%s1]}]}', b'"",'),
    "axes": (b'{"inputs":[{"name":"pixels","datatype":"UINT8","shape":[%s1],"data":[]}]}', b"1,"),
    "outputs": (b'{"inputs":[],"outputs":[%s{}]}', b"{},"),
}


@pytest.mark.parametrize(("text", "element"), WRONG.values(), ids=WRONG)
def test_a_hundred_thousand_mistakes_cost_no_more_than_the_first(
    manifest: Manifest, text: bytes, element: bytes
) -> None:
    body = text % (element * 100_000)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput):
            read(manifest, body)
        assert tracemalloc.get_traced_memory()[1] < 20 * len(body)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b'{"id":"\\ud800"}'])
def test_what_is_not_an_object_in_json(manifest: Manifest, text: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"the body|id: |inputs: "):
        read(manifest, text)


def test_a_body_that_is_all_json_needs_no_header(manifest: Manifest) -> None:
    text = json.dumps(document()).encode()
    assert isinstance(read_request(text, str(len(text)), manifest, MOST).content, np.ndarray)
