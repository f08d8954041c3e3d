from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence

import pytest

from service.loadgen.workload import response_parsers
from service.protocols.grpc.inference_pb2 import ModelInferResponse

SCORES = (0.1, 0.7, 0.2, 0.5, 0.25, 0.25)


def in_json(parameters: object = None) -> bytes:
    return json.dumps({"outputs": [{"shape": [2, 3], "data": SCORES}]}).encode()


def in_binary(size: int) -> bytes:
    head = json.dumps({"outputs": [{"shape": [2, 3], "parameters": {"binary_data_size": size}}]})
    return head.encode() + struct.pack("<6f", *SCORES)


def in_protobuf() -> bytes:
    return ModelInferResponse(raw_output_contents=[struct.pack("<6f", *SCORES)]).SerializeToString()


@pytest.mark.parametrize(
    ("parse", "body"),
    [
        (response_parsers.open_inference, in_json()),
        (response_parsers.open_inference, in_binary(24)),
        (response_parsers.open_inference_grpc, in_protobuf()),
        (response_parsers.tensorflow_serving, json.dumps({"predictions": [SCORES[:3], SCORES[3:]]}).encode()),
        (response_parsers.native, json.dumps({"predictions": [{"label": "1"}, {"label": "0"}]}).encode()),
    ],
)
def test_label_of_each_image_is_its_best_class(
    parse: Callable[[int, bytes], Sequence[str]], body: bytes
) -> None:
    assert parse(2, body) == ("1", "0")


@pytest.mark.parametrize(
    ("parse", "body"),
    [
        (response_parsers.native, b"not JSON"),
        (response_parsers.native, b"[]"),
        (response_parsers.native, b'{"predictions": [{"label": "1"}]}'),
        (response_parsers.open_inference, b'{"outputs": []}'),
        (response_parsers.open_inference, in_binary(20)),
        (response_parsers.open_inference, b'{"outputs": [{"data": [NaN, 1.0]}]}'),
        (response_parsers.open_inference, b'{"outputs": [{"data": [0.5, 0.5, 1.0]}]}'),
        (response_parsers.open_inference_grpc, b"\xff\xff"),
        (response_parsers.tensorflow_serving, b'{"predictions": []}'),
        (response_parsers.tensorflow_serving, b'{"predictions": [1, 2]}'),
    ],
)
def test_invalid_response_is_rejected(parse: Callable[[int, bytes], Sequence[str]], body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any message
        parse(2, body)
