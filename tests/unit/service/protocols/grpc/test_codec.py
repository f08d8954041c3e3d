"""Messages of inference requests: understood to the byte, or refused; and the answers made of them."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ConvserveError, InvalidInput, PayloadTooLarge
from service.imaging.decode_pool import EncodedImage
from service.protocols.grpc.codec import read_request
from service.protocols.grpc.inference_pb2 import InferParameter, InferTensorContents, ModelInferRequest
from service.protocols.open_inference.infer_request import InferRequest, RequestedOutput
from service.repository.manifest import Manifest
from tests.support.models.gray_classifier import SIDE, image, publish_shades, rows

MOST = 256
PIXELS = SIDE * SIDE
SHAPE = (1, SIDE, SIDE, 1)

Tensor = ModelInferRequest.InferInputTensor


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = publish_shades(tmp_path_factory.mktemp("models"))
    return Manifest.model_validate_json((folder / "manifest.json").read_bytes())


@pytest.fixture(scope="module")
def floats(manifest: Manifest) -> Manifest:
    """The same for a model of float32 pixels."""
    return manifest.model_copy(update={"input": manifest.input.model_copy(update={"dtype": "float32"})})


def tensor(**changes: Any) -> ModelInferRequest.InferInputTensor:
    return Tensor(**{"name": "pixels", "datatype": "UINT8", "shape": SHAPE, **changes})


def typed(field: str, values: Any, **changes: Any) -> ModelInferRequest:
    """A request of one row, or of `changes`, with its elements in `contents`."""
    return ModelInferRequest(inputs=[tensor(contents=InferTensorContents(**{field: values}), **changes)])


def raw(*contents: bytes, **changes: Any) -> ModelInferRequest:
    return ModelInferRequest(inputs=[tensor(**changes)], raw_input_contents=contents)


def read(manifest: Manifest, message: ModelInferRequest) -> InferRequest:
    """By way of the wire."""
    return read_request(ModelInferRequest.FromString(message.SerializeToString()), manifest, MOST)


def elements(*contents: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(content)) + content for content in contents)


@pytest.mark.parametrize("message", [raw(bytes([7]) * PIXELS), typed("uint_contents", [7] * PIXELS)])
def test_pixels_raw_and_typed(manifest: Manifest, message: ModelInferRequest) -> None:
    request = read(manifest, message)
    assert request.outputs == [RequestedOutput("probabilities")]
    assert request.timeout is None
    assert isinstance(request.content, np.ndarray)
    assert request.content.dtype == np.uint8
    np.testing.assert_array_equal(request.content, rows(7))


def test_floats_raw_and_typed(floats: Manifest) -> None:
    values = np.linspace(-1, 1, PIXELS, dtype=np.float32)
    for message in (
        raw(values.astype("<f4").tobytes(), datatype="FP32"),
        typed("fp32_contents", values, datatype="FP32"),
    ):
        content = read(floats, message).content
        assert isinstance(content, np.ndarray)
        assert content.dtype == np.float32
        np.testing.assert_array_equal(content, values.reshape(SHAPE))


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_pictures_raw_and_typed(manifest: Manifest, shape: list[int]) -> None:
    one, two = image(1), image(2)
    expected = [EncodedImage(one), EncodedImage(two)]
    assert read(manifest, raw(elements(one, two), datatype="BYTES", shape=shape)).content == expected
    assert (
        read(manifest, typed("bytes_contents", [one, two], datatype="BYTES", shape=shape)).content == expected
    )


def test_the_id_is_kept_and_made_where_none_came(manifest: Manifest) -> None:
    message = raw(bytes(PIXELS))
    assert len({read(manifest, message).id for _ in range(10)}) == 10
    message.id = "x"
    assert read(manifest, message).id == "x"


def test_parameters_of_every_type(manifest: Manifest) -> None:
    message = raw(bytes(PIXELS))
    message.parameters["timeout"].int64_param = 1_500_000
    message.parameters["priority"].uint64_param = 2**64 - 1
    message.parameters["note"].string_param = "let pass"
    message.parameters["ratio"].double_param = 0.5
    message.parameters["binary_data_output"].bool_param = True
    assert read(manifest, message).timeout == 1.5


def test_classes_in_place_of_scores(manifest: Manifest) -> None:
    message = raw(bytes(PIXELS))
    output = message.outputs.add(name="probabilities")
    output.parameters["classification"].int64_param = 3
    (wanted,) = read(manifest, message).outputs
    assert (wanted.name, wanted.classification) == ("probabilities", 3)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (ModelInferRequest(), r"takes one input, 'pixels'; the request has \[\]"),
        (ModelInferRequest(inputs=[tensor(), tensor()]), "takes one input"),
        (raw(bytes(PIXELS), name="images"), r"the request has \['images'\]"),
        (raw(bytes(PIXELS), datatype="FP32"), "datatype FP32; expected UINT8 of shape"),
        (raw(bytes(PIXELS), datatype="INT4"), "datatype INT4, which is not in the protocol"),
        (raw(bytes(PIXELS), shape=[1, PIXELS]), r"has shape \[1, 64\]; expected"),
        (raw(bytes(PIXELS), shape=[-1, SIDE, SIDE, 1]), "has -1 rows"),
        (raw(b"", shape=[0, SIDE, SIDE, 1]), "has 0 rows"),
        (raw(bytes(PIXELS), shape=[]), r"has shape \[\]; expected"),
        (raw(bytes(PIXELS - 1)), "63 bytes"),
        (raw(bytes(PIXELS + 1)), "65 bytes"),
        (raw(bytes(PIXELS), bytes(PIXELS)), "2 raw_input_contents for 1 input$"),
        (typed("uint_contents", [7] * (PIXELS - 1)), r"has shape \[63\], which does not match"),
        (typed("uint_contents", [256] * PIXELS), "integers from 0 to 255; the data ranges from 256"),
        (typed("fp32_contents", [0.5] * PIXELS), r"contents\.uint_contents; it has fp32_contents"),
        (typed("int64_contents", [7] * PIXELS), "it has int64_contents"),
        (ModelInferRequest(inputs=[tensor()]), "it has neither"),
        (raw(elements(b"1"), datatype="BYTES", shape=[2]), "does not have exactly 2 BYTES elements"),
        (raw(b"\xff\xff\xff\xff", datatype="BYTES", shape=[1]), "does not have exactly 1 BYTES elements"),
        (typed("bytes_contents", [b"1"], datatype="BYTES", shape=[2]), "has 1 bytes_contents; expected 2"),
        (typed("bytes_contents", [b"1"], datatype="BYTES", shape=[1, 2]), r"has shape \[1, 2\]"),
    ],
)
def test_what_does_not_fit_is_refused(manifest: Manifest, message: ModelInferRequest, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        read(manifest, message)


def test_raw_and_typed_contents_together_are_refused(manifest: Manifest) -> None:
    message = typed("uint_contents", [7] * PIXELS)
    message.raw_input_contents.append(bytes(PIXELS))
    with pytest.raises(InvalidInput, match="which has contents too"):
        read(manifest, message)


@pytest.mark.parametrize("shape", [[MOST + 1, SIDE, SIDE, 1], [2**60, SIDE, SIDE, 1]])
def test_too_many_rows_are_refused_by_the_shape_alone(manifest: Manifest, shape: list[int]) -> None:
    for message in (raw(b"", shape=shape), typed("uint_contents", [1], shape=shape)):
        with pytest.raises(PayloadTooLarge, match="at most 256"):
            read(manifest, message)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("timeout", {"string_param": "1"}, "'timeout' must be an integer"),
        ("timeout", {"int64_param": -1}, "'timeout' must be an integer"),
        ("timeout", {"bool_param": True}, "'timeout' must be an integer"),
        ("priority", {"double_param": 1.0}, "'priority' must be an integer"),
        ("triton_enable", {"bool_param": True}, "'triton_enable' is reserved"),
        ("nothing", {}, "'nothing' must be a string, a number or a boolean"),
    ],
)
def test_wrong_parameters_are_refused(
    manifest: Manifest, name: str, value: dict[str, Any], sentence: str
) -> None:
    message = raw(bytes(PIXELS))
    message.parameters[name].CopyFrom(InferParameter(**value))
    with pytest.raises(InvalidInput, match=sentence):
        read(manifest, message)


@pytest.mark.parametrize(
    ("output", "parameter", "value", "sentence"),
    [
        ("scores", "note", {"bool_param": True}, "has no output 'scores'"),
        ("probabilities", "classification", {"int64_param": 0}, "'classification' must be an integer"),
        ("probabilities", "classification", {"string_param": "3"}, "'classification' must be an integer"),
        ("probabilities", "shared_memory_region", {"string_param": "x"}, "shared memory is not offered"),
    ],
)
def test_wrong_outputs_are_refused(
    manifest: Manifest, output: str, parameter: str, value: dict[str, Any], sentence: str
) -> None:
    message = raw(bytes(PIXELS))
    message.outputs.add(name=output).parameters[parameter].CopyFrom(InferParameter(**value))
    with pytest.raises(InvalidInput, match=sentence):
        read(manifest, message)


def test_shared_memory_is_refused(manifest: Manifest) -> None:
    message = ModelInferRequest(inputs=[tensor()])
    message.inputs[0].parameters["shared_memory_region"].string_param = "region"
    with pytest.raises(InvalidInput, match="shared memory is not offered"):
        read(manifest, message)


@given(st.binary(max_size=200))
def test_no_message_makes_another_error(manifest: Manifest, junk: bytes) -> None:
    """What bytes happen to parse as a message is read or refused, and nothing else."""
    try:
        message = ModelInferRequest.FromString(raw().SerializeToString() + junk)
    except DecodeError:
        return
    with suppress(ConvserveError):
        read_request(message, manifest, MOST)
