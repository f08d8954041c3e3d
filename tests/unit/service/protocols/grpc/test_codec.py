"""Parsing of ModelInferRequest messages."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from service.batching.pending_request import Rows
from service.client_budget import Account
from service.errors import ConvserveError, InvalidInput, PayloadTooLarge
from service.imaging.decode_pool import EncodedImage
from service.protocols.grpc.codec import read_request, receive_request
from service.protocols.grpc.inference_pb2 import InferParameter, InferTensorContents, ModelInferRequest
from service.protocols.open_inference.infer_request import InferRequest, RequestedOutput
from service.protocols.shared.tensors import TensorPayload, decode_tensor
from service.repository.manifest import Manifest
from tests.support.models.gray_classifier import SIDE, image, publish_shades, rows

MAX_ROWS = 256
PIXELS = SIDE * SIDE
SHAPE = (1, SIDE, SIDE, 1)

Tensor = ModelInferRequest.InferInputTensor


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = publish_shades(tmp_path_factory.mktemp("models"))
    return Manifest.model_validate_json((folder / "manifest.json").read_bytes())


@pytest.fixture(scope="module")
def float_manifest(manifest: Manifest) -> Manifest:
    """A model with float32 input."""
    return manifest.model_copy(update={"input": manifest.input.model_copy(update={"dtype": "float32"})})


def tensor(**changes: Any) -> ModelInferRequest.InferInputTensor:
    return Tensor(**{"name": "pixels", "datatype": "UINT8", "shape": SHAPE, **changes})


def typed(field: str, values: Any, **changes: Any) -> ModelInferRequest:
    """A request for one row, or as in `changes`, with its elements in `contents`."""
    return ModelInferRequest(inputs=[tensor(contents=InferTensorContents(**{field: values}), **changes)])


def raw(*contents: bytes, **changes: Any) -> ModelInferRequest:
    return ModelInferRequest(inputs=[tensor(**changes)], raw_input_contents=contents)


def read(manifest: Manifest, message: ModelInferRequest) -> InferRequest:
    """The parsed request, after the message was serialized and parsed as in a call."""
    return read_request(ModelInferRequest.FromString(message.SerializeToString()), manifest)


def decode(manifest: Manifest, message: ModelInferRequest) -> Rows | list[EncodedImage]:
    tensor = read(manifest, message).tensor
    assert isinstance(tensor, TensorPayload)
    return decode_tensor(tensor, manifest.input, MAX_ROWS)


def elements(*contents: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(content)) + content for content in contents)


@pytest.mark.parametrize("message", [raw(bytes([7]) * PIXELS), typed("uint_contents", [7] * PIXELS)])
def test_pixels_may_be_raw_or_typed(manifest: Manifest, message: ModelInferRequest) -> None:
    request = read(manifest, message)
    assert request.outputs == [RequestedOutput("probabilities", binary=True)]
    assert request.timeout is None
    content = decode(manifest, message)
    assert isinstance(content, np.ndarray)
    assert content.dtype == np.uint8
    np.testing.assert_array_equal(content, rows(7))


def test_floats_may_be_raw_or_typed(float_manifest: Manifest) -> None:
    values = np.linspace(-1, 1, PIXELS, dtype=np.float32)
    for message in (
        raw(values.astype("<f4").tobytes(), datatype="FP32"),
        typed("fp32_contents", values, datatype="FP32"),
    ):
        content = decode(float_manifest, message)
        assert isinstance(content, np.ndarray)
        assert content.dtype == np.float32
        np.testing.assert_array_equal(content, values.reshape(SHAPE))


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_encoded_images_may_be_raw_or_typed(manifest: Manifest, shape: list[int]) -> None:
    one, two = image(1), image(2)
    expected = [EncodedImage(one), EncodedImage(two)]
    for message in (
        raw(elements(one, two), datatype="BYTES", shape=shape),
        typed("bytes_contents", [one, two], datatype="BYTES", shape=shape),
    ):
        assert decode(manifest, message) == expected


def read_long(manifest: Manifest, message: ModelInferRequest) -> InferRequest:
    """The request as it is read from a message that is so long that it is scanned first."""
    received = receive_request(message.SerializeToString(), MAX_ROWS)
    assert received.scanned is not None
    return received.parse(manifest, MAX_ROWS, Account.unlimited(), streaming=False)


@pytest.mark.parametrize("count", [1, 3])
def test_long_images_are_read_like_short_ones(manifest: Manifest, count: int) -> None:
    images = [bytes([number]) * 5000 for number in range(count)]
    message = typed("bytes_contents", images, datatype="BYTES", shape=[count])
    for content in (read(manifest, message), read_long(manifest, message)):
        assert decode_tensor(content.tensor, manifest.input, MAX_ROWS) == list(map(EncodedImage, images))


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (typed("bytes_contents", [b"x" * 5000]), "it has bytes_contents"),
        (
            ModelInferRequest(
                inputs=[
                    tensor(
                        datatype="BYTES",
                        shape=[1],
                        contents=InferTensorContents(bytes_contents=[b"x" * 5000], uint_contents=[1]),
                    )
                ]
            ),
            "it has uint_contents, bytes_contents",
        ),
        (
            ModelInferRequest(
                inputs=typed("bytes_contents", [b"x" * 5000], datatype="BYTES", shape=[1]).inputs,
                raw_input_contents=[b"x"],
            ),
            "which also has contents",
        ),
    ],
)
def test_long_images_beside_other_contents_are_rejected(
    manifest: Manifest, message: ModelInferRequest, sentence: str
) -> None:
    for attempt in (read, read_long):
        with pytest.raises(InvalidInput, match=sentence):
            attempt(manifest, message)


def test_id_is_kept_or_generated(manifest: Manifest) -> None:
    message = raw(bytes(PIXELS))
    assert len({read(manifest, message).id for _ in range(10)}) == 10
    message.id = "x"
    assert read(manifest, message).id == "x"


def test_parameters_may_have_every_type(manifest: Manifest) -> None:
    message = raw(bytes(PIXELS))
    message.parameters["timeout"].int64_param = 1_500_000
    message.parameters["priority"].uint64_param = 2**64 - 1
    message.parameters["note"].string_param = "ignored"
    message.parameters["ratio"].double_param = 0.5
    message.parameters["binary_data_output"].bool_param = True
    assert read(manifest, message).timeout == 1.5


def test_output_may_request_classes(manifest: Manifest) -> None:
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
        (typed("bytes_contents", [b"1"], datatype="BYTES", shape=[2]), "has 1 BYTES elements; its shape"),
        (typed("bytes_contents", [b"1"], datatype="BYTES", shape=[1, 2]), r"has shape \[1, 2\]"),
    ],
)
def test_invalid_requests_are_rejected(manifest: Manifest, message: ModelInferRequest, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        decode(manifest, message)


def test_raw_and_typed_contents_together_are_rejected(manifest: Manifest) -> None:
    message = typed("uint_contents", [7] * PIXELS)
    message.raw_input_contents.append(bytes(PIXELS))
    with pytest.raises(InvalidInput, match="which also has contents"):
        read(manifest, message)


@pytest.mark.parametrize("shape", [[MAX_ROWS + 1, SIDE, SIDE, 1], [2**60, SIDE, SIDE, 1]])
def test_too_many_rows_are_rejected_by_the_shape(manifest: Manifest, shape: list[int]) -> None:
    for message in (raw(b"", shape=shape), typed("uint_contents", [1], shape=shape)):
        with pytest.raises(PayloadTooLarge, match="at most 256"):
            decode(manifest, message)


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
def test_invalid_parameters_are_rejected(
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
        ("probabilities", "shared_memory_region", {"string_param": "x"}, "shared memory is not supported"),
    ],
)
def test_invalid_outputs_are_rejected(
    manifest: Manifest, output: str, parameter: str, value: dict[str, Any], sentence: str
) -> None:
    message = raw(bytes(PIXELS))
    message.outputs.add(name=output).parameters[parameter].CopyFrom(InferParameter(**value))
    with pytest.raises(InvalidInput, match=sentence):
        read(manifest, message)


def test_shared_memory_is_rejected(manifest: Manifest) -> None:
    message = ModelInferRequest(inputs=[tensor()])
    message.inputs[0].parameters["shared_memory_region"].string_param = "region"
    with pytest.raises(InvalidInput, match="shared memory is not supported"):
        read(manifest, message)


@given(st.binary(max_size=200))
def test_random_messages_raise_only_domain_errors(manifest: Manifest, junk: bytes) -> None:
    try:
        message = ModelInferRequest.FromString(raw().SerializeToString() + junk)
    except DecodeError:
        return
    with suppress(ConvserveError):
        decode(manifest, message)
