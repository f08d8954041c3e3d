"""Error messages for invalid inference requests of the Open Inference Protocol."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from service.errors import InvalidInput
from service.repository.manifest import Manifest
from tests.support.models.gray_classifier import SIDE, publish_shades
from tests.support.requests.infer_bodies import PIXELS, binary, document, read, read_content


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = publish_shades(tmp_path_factory.mktemp("models"))
    return Manifest.model_validate_json((folder / "manifest.json").read_bytes())


INVALID_INPUTS: dict[str, tuple[dict[str, Any], str]] = {
    "no input": ({"inputs": []}, r"takes one input, 'pixels'; the request has \[\]"),
    "two inputs": ({"inputs": document()["inputs"] * 2}, r"has \['pixels', 'pixels'\]"),
    "another name": (document(name="image"), r"takes one input, 'pixels'; the request has \['image'\]"),
    "float32": (document(datatype="FP32"), r"datatype FP32; expected UINT8 of shape \[n, 8, 8, 1\]"),
    "fp16": (document(datatype="FP16"), "datatype FP16; expected UINT8"),
    "unknown type": (document(datatype="uint8"), "datatype uint8, which is not in the protocol"),
    "batch missing": (document(shape=[SIDE, SIDE, 1]), r"has shape \[8, 8, 1\]; expected UINT8 of shape"),
    "channels first": (document(shape=[1, 1, SIDE, SIDE]), r"has shape \[1, 1, 8, 8\]; expected"),
    "no rows": (document(shape=[0, SIDE, SIDE, 1], data=[]), "has 0 rows; a request holds at least 1"),
    "negative": (document(shape=[-1, SIDE, SIDE, 1]), "has -1 rows"),
    "overflowing": (document(shape=[1, 2**32, 2**32, 1]), r"has shape \[1, 4294967296, 4294967296, 1\]"),
    "scaled": (document(data=[0.5] * PIXELS), "the data has fractions: send unscaled pixels"),
    "fewer": (document(data=[0] * 63), r"has shape \[63\], which does not match \[1, 8, 8, 1\]"),
    "no data": (document(data=None), "needs exactly one of data and binary_data_size; it has neither"),
    "null data": ({"inputs": [{**document()["inputs"][0], "data": None}]}, "not a regular array"),
    "both": (document(parameters={"binary_data_size": 64}), "it has binary_data_size, data"),
    "shared memory": (
        document(data=None, parameters={"shared_memory_region": "r"}),
        "needs exactly one of data and binary_data_size; it has shared_memory_region",
    ),
    "size of half": (
        binary(0.5),  # type: ignore[arg-type]
        "binary_data_size of input 'pixels' must be an integer of at least 0, not 0.5",
    ),
    "negative size": (binary(-1), "must be an integer of at least 0, not -1"),
    "true as size": (binary(True), "must be an integer of at least 0, not True"),
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


@pytest.mark.parametrize(("request_", "sentence"), INVALID_INPUTS.values(), ids=INVALID_INPUTS)
def test_messages_name_the_expected_and_the_actual_input(
    manifest: Manifest, request_: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        read_content(manifest, request_)


INVALID_PARAMETERS: list[tuple[dict[str, Any], str]] = [
    ({"triton_enable_empty_final_response": True}, "'triton_enable_empty_final_response' is reserved"),
    ({"x": [1]}, "'x' must be a string, a number or a boolean"),
    ({"x": {}}, "'x' must be a string, a number or a boolean"),
    ({"x": None}, "'x' must be a string, a number or a boolean"),
    ({"timeout": -1}, "'timeout' must be an integer of microseconds, not -1"),
    ({"timeout": 1.5}, "'timeout' must be an integer of microseconds, not 1.5"),
    ({"timeout": "1"}, "'timeout' must be an integer of microseconds, not '1'"),
    ({"timeout": True}, "'timeout' must be an integer of microseconds, not True"),
    (
        {"timeout": 10**400},
        "'timeout' must be an integer of microseconds, not an integer of more than 128 bits",
    ),
    ({"priority": -1}, "'priority' must be an integer of at least 0, not -1"),
    ({"priority": 2**64}, "'priority' must be an integer of at least 0, not 1844"),
    ({"binary_data_output": 1}, "'binary_data_output' must be true or false, not 1"),
]


@pytest.mark.parametrize(("parameters", "sentence"), INVALID_PARAMETERS, ids=str)
def test_invalid_request_parameters(manifest: Manifest, parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        read(manifest, {**document(), "parameters": parameters})


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        ([{"name": "logits"}], "shades has no output 'logits'; it has 'probabilities'"),
        ([{"name": "probabilities"}] * 2, "the output 'probabilities' is requested more than once"),
        (
            [{"name": "probabilities", "parameters": {"classification": 0}}],
            "'classification' must be an integer",
        ),
        (
            [{"name": "probabilities", "parameters": {"classification": True}}],
            "'classification' must be an int",
        ),
        (
            [{"name": "probabilities", "parameters": {"binary_data": "yes"}}],
            "'binary_data' must be true or f",
        ),
        (
            [{"name": "probabilities", "parameters": {"shared_memory_region": "r"}}],
            "shared memory is not sup",
        ),
        ([{}], r"outputs\.0\.name: Field required"),
        ("probabilities", "outputs: Input should be a valid array"),
    ],
)
def test_invalid_outputs(manifest: Manifest, outputs: Any, sentence: str) -> None:
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
def test_extra_bytes_are_rejected(manifest: Manifest, request_: dict[str, Any], tail: bytes) -> None:
    with pytest.raises(InvalidInput, match="unexpected additional input data"):
        read(manifest, request_, tail=tail)


@pytest.mark.parametrize("depth", [100, 201, 100_000])
@pytest.mark.parametrize("where", [b'{"inputs": %s}', b'{"inputs": [{"data": %s}]}', b'{"other": %s}', b"%s"])
def test_deeply_nested_json(manifest: Manifest, depth: int, where: bytes) -> None:
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
@pytest.mark.measures
def test_memory_of_many_errors_is_bounded(manifest: Manifest, text: bytes, element: bytes) -> None:
    body = text % (element * 100_000)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput):
            read(manifest, body)
        assert tracemalloc.get_traced_memory()[1] < 20 * len(body)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b'{"id":"\\ud800"}'])
def test_json_that_is_not_an_object(manifest: Manifest, text: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"the body|id: |inputs: "):
        read(manifest, text)
