"""Inference with the Open Inference Protocol over REST on the real application."""

from __future__ import annotations

import base64
import gzip
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from export.repository.manifest import InputSpec
from service.asgi.app import Service, create_app
from service.config.settings import Settings
from tests.support.http.errors import assert_error
from tests.support.models.gray_classifier import CLASSES, LABELS, SIDE, image, level, rows
from tests.support.models.linear_model import HEIGHT, WIDTH, Linear

INFER = "/v2/models/shades/infer"
LENGTH = "Inference-Header-Content-Length"
ONE = {"name": "pixels", "shape": [1, SIDE, SIDE, 1], "datatype": "UINT8"}


def ask(
    client: TestClient, pixels: NDArray[np.uint8], *outputs: dict[str, Any], binary: bool = False, **more: Any
) -> Any:
    """Posts rows, as JSON numbers or as bytes after the JSON, without a Content-Type."""
    tensor: dict[str, Any] = {**ONE, "shape": pixels.shape}
    document: dict[str, Any] = {**more, "inputs": [tensor]}
    if outputs:
        document["outputs"] = [{"name": "probabilities", "parameters": given} for given in outputs]
    if not binary:
        tensor["data"] = pixels.ravel().tolist()
        return client.post(INFER, content=json.dumps(document))
    tensor["parameters"] = {"binary_data_size": pixels.nbytes}
    text = json.dumps(document).encode()
    return client.post(INFER, content=text + pixels.tobytes(), headers={LENGTH: str(len(text))})


def split(response: Any) -> tuple[dict[str, Any], bytes]:
    """The JSON of a binary response, and the bytes that follow it."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers[LENGTH])
    return json.loads(response.content[:length]), response.content[length:]


def probabilities(client: TestClient, value: int) -> list[float]:
    """Probabilities by class, from the native dialect."""
    response = client.post(f"/classify?top_k={CLASSES}", content=image(value)).json()
    ranked = sorted(response["predictions"][0]["top_k"], key=lambda each: each["index"])
    return [each["probability"] for each in ranked]


def test_json_numbers_and_json_outputs(client: TestClient) -> None:
    response = ask(client, rows(level(3), level(8)), id="seven")
    assert response.headers["content-type"] == "application/json"
    assert LENGTH.lower() not in response.headers
    assert response.headers["server-timing"].startswith("decode;dur=0.000, queue;dur=")
    document = response.json()
    assert list(document) == ["id", "model_name", "model_version", "outputs"]
    assert (document["id"], document["model_name"], document["model_version"]) == ("seven", "shades", "1")
    [output] = document["outputs"]
    assert (output["name"], output["datatype"]) == ("probabilities", "FP32")
    assert output["shape"] == [2, CLASSES]
    assert output["data"] == probabilities(client, level(3)) + probabilities(client, level(8))


def test_responses_always_have_an_id(client: TestClient) -> None:
    assert len(ask(client, rows(0)).json()["id"]) == 32


def test_binary_data_without_a_content_type(client: TestClient) -> None:
    response = ask(client, rows(level(3), level(8)), {"binary_data": True}, binary=True)
    document, tail = split(response)
    [output] = document["outputs"]
    assert output == {
        "name": "probabilities",
        "datatype": "FP32",
        "shape": [2, CLASSES],
        "parameters": {"binary_data_size": 4 * 2 * CLASSES},
    }
    values = np.frombuffer(tail, "<f4").tolist()
    assert values == probabilities(client, level(3)) + probabilities(client, level(8))


@pytest.mark.parametrize(
    ("outputs", "default", "binary"),
    [
        ((), True, True),
        ((), False, False),
        (({},), True, True),
        (({"binary_data": False},), True, False),
        (({"binary_data": True},), False, True),
    ],
)
def test_outputs_parameter_overrides_the_requests(
    client: TestClient, outputs: tuple[dict[str, Any], ...], default: bool, binary: bool
) -> None:
    response = ask(client, rows(0), *outputs, parameters={"binary_data_output": default})
    assert response.status_code == 200
    assert (LENGTH in response.headers) == binary


@pytest.mark.parametrize("body", [rows(level(4)).tobytes(), image(level(4)), image(level(4), form="JPEG")])
def test_raw_binary_request(client: TestClient, body: bytes) -> None:
    document, tail = split(client.post(INFER, content=body, headers={LENGTH: "0"}))
    assert document["outputs"][0]["shape"] == [1, CLASSES]
    assert np.frombuffer(tail, "<f4").argmax() == 4


def test_images_as_bytes_and_in_base64(client: TestClient) -> None:
    files = [image(level(index), side=20 + index) for index in range(CLASSES)]
    tensor = {"name": "pixels", "shape": [CLASSES], "datatype": "BYTES"}
    in_json_body = {"inputs": [{**tensor, "data": [base64.b64encode(file).decode() for file in files]}]}
    tail = b"".join(struct.pack("<I", len(file)) + file for file in files)
    binary_body = {"inputs": [{**tensor, "parameters": {"binary_data_size": len(tail)}}]}
    text = json.dumps(binary_body).encode()
    in_json = client.post(INFER, json=in_json_body).json()["outputs"][0]["data"]
    behind = client.post(INFER, content=text + tail, headers={LENGTH: str(len(text))})
    assert behind.json()["outputs"][0]["data"] == in_json
    assert np.reshape(in_json, (CLASSES, CLASSES)).argmax(axis=1).tolist() == list(range(CLASSES))


def test_undecodable_image_is_named(client: TestClient) -> None:
    data = [base64.b64encode(image(0)).decode(), base64.b64encode(b"text").decode()]
    tensor = {"name": "pixels", "shape": [2], "datatype": "BYTES", "data": data}
    assert_error(
        client.post(INFER, json={"inputs": [tensor]}), 400, "1 of 2 images cannot be read: image 1: "
    )


def test_classes_in_json(client: TestClient) -> None:
    response = ask(client, rows(level(7), level(2)), {"classification": 3})
    [output] = response.json()["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [2, 3])
    assert output["data"][0] == "1.000000:7:shade 7"
    assert output["data"][3] == "1.000000:2:shade 2"
    assert [element.split(":")[2] for element in output["data"]][1:3] == ["shade 6", "shade 8"]


def test_classes_as_bytes(client: TestClient) -> None:
    response = ask(client, rows(level(7)), {"classification": 2, "binary_data": True})
    document, tail = split(response)
    elements = []
    while tail:
        (size,) = struct.unpack_from("<I", tail)
        elements.append(tail[4 : 4 + size].decode())
        tail = tail[4 + size :]
    [output] = document["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [1, 2])
    assert [element.rpartition(":")[2] for element in elements] == ["shade 7", "shade 6"]


def test_equal_scores_are_ordered_by_index(
    client: TestClient,
) -> None:
    halfway = rows(51)  # at equal distance from two centres
    [output] = ask(client, halfway, {"classification": 99}).json()["outputs"]
    assert output["shape"] == [1, CLASSES]
    values = [float(element.split(":")[0]) for element in output["data"]]
    assert values == sorted(values, reverse=True)
    assert [element.split(":")[1] for element in output["data"][:2]] == ["1", "2"]
    assert values[0] == values[1]
    assert {element.split(":")[2] for element in output["data"]} == set(LABELS)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_header_length_counts_decompressed_json(client: TestClient, coding: str, pack: Any) -> None:
    text = json.dumps({"inputs": [{**ONE, "parameters": {"binary_data_size": SIDE * SIDE}}]}).encode()
    body = pack(text + rows(level(6)).tobytes())
    headers = {LENGTH: str(len(text)), "Content-Encoding": coding}
    response = client.post(INFER, content=body, headers=headers)
    assert np.argmax(response.json()["outputs"][0]["data"]) == 6


@pytest.mark.parametrize(
    ("coding", "body", "status", "sentence"),
    [
        ("br", b"x", 415, "Content-Encoding 'br' is not supported; send gzip, deflate or identity"),
        ("gzip", b"plain", 400, "the body is not valid gzip"),
        ("gzip", b"", 400, "not exactly one gzip stream"),
        ("gzip", gzip.compress(bytes(40_000_000)), 413, "decompressed body is larger than 4194304 bytes"),
    ],
)
def test_wrong_content_codings(
    client: TestClient, coding: str, body: bytes, status: int, sentence: str
) -> None:
    assert_error(client.post(INFER, content=body, headers={"Content-Encoding": coding}), status, sentence)


def test_only_large_inference_responses_are_compressed(client: TestClient) -> None:
    client.headers["Accept-Encoding"] = "gzip, deflate, br"
    large = ask(client, rows(*range(250)))
    assert large.headers["content-encoding"] == "gzip"
    assert large.json()["outputs"][0]["shape"] == [250, CLASSES]
    for small in (
        ask(client, rows(0)),
        client.get("/v2/models/shades/config"),
        client.get("/v2/models/none"),
    ):
        assert "content-encoding" not in small.headers
    long = {"inputs": [{**ONE, "name": "x" * 50_000, "data": []}]}
    error = client.post(INFER, json=long)
    assert error.status_code == 400
    assert "content-encoding" not in error.headers


def test_compressed_binary_response_gives_the_uncompressed_json_length(client: TestClient) -> None:
    client.headers["Accept-Encoding"] = "deflate"
    pixels = np.concatenate([rows(*range(250))] * 2)[:256]
    response = ask(client, pixels, {"binary_data": True, "classification": CLASSES}, binary=True)
    assert response.headers["content-encoding"] == "deflate"
    document, tail = split(response)
    assert document["outputs"][0]["parameters"] == {"binary_data_size": len(tail)}


def test_error_messages_are_truncated(client: TestClient) -> None:
    response = client.post(INFER, json={"inputs": [{**ONE, "name": "x" * 1_000_000, "data": []}]})
    assert_error(response, 400, "takes one input, 'pixels'; the request has .*…]$")
    assert len(response.content) < 1000


def test_timeout_in_microseconds(client: TestClient, service: Service) -> None:
    assert ask(client, rows(0), parameters={"timeout": 30_000_000, "priority": 1}).status_code == 200
    assert ask(client, rows(0), parameters={"timeout": 2**64 - 1}).status_code == 200
    assert_error(ask(client, rows(0), parameters={"timeout": 1}), 504, "the deadline passed")
    model = service.plane.registry.resolve()
    assert model.admission.admitted == 0


def test_non_finite_scores_are_null_in_json_and_kept_in_bytes(tmp_path: Path) -> None:
    Linear(InputSpec("pixels", "float32", "NCHW", HEIGHT, WIDTH, 3, "fit"), "logits").publish(tmp_path)
    pixels = np.zeros((2, 3, HEIGHT, WIDTH), np.float32)
    pixels[1] = np.nan
    tensor = {"name": "pixels", "shape": pixels.shape, "datatype": "FP32"}
    outputs = [{"name": "logits", "parameters": {"binary_data": True}}]
    text = json.dumps({"inputs": [{**tensor, "data": pixels.ravel().tolist()}]})
    both = json.dumps({"inputs": [{**tensor, "data": pixels.ravel().tolist()}], "outputs": outputs})
    classes = json.dumps(
        {
            "inputs": [{**tensor, "data": pixels.ravel().tolist()}],
            "outputs": [{"name": "logits", "parameters": {"classification": 1}}],
        }
    )
    with TestClient(create_app(Settings(models=tmp_path))) as client:
        in_json_body = client.post("/v2/models/linear/infer", content=text).json()
        document, tail = split(client.post("/v2/models/linear/infer", content=both))
        ranked = client.post("/v2/models/linear/infer", content=classes).json()
    assert in_json_body["parameters"] == document["parameters"] == {"non_finite_as": "null"}
    assert in_json_body["outputs"][0]["data"] == [0.0] * 4 + [None] * 4
    np.testing.assert_array_equal(np.frombuffer(tail, "<f4"), [0] * 4 + [np.nan] * 4)
    assert ranked["outputs"][0]["data"] == ["0.000000:0:a", "nan:0:a"]


def test_empty_body(client: TestClient) -> None:
    assert_error(client.post(INFER), 400, "the body: Invalid JSON: EOF")
    assert_error(client.post(INFER, headers={LENGTH: "0"}), 400, "the image is empty")


def test_body_and_a_request_over_the_limits(repository: Path) -> None:
    with TestClient(create_app(Settings(models=repository, max_body_bytes=1000, max_images=3))) as client:
        assert_error(client.post(INFER, content=bytes(1001)), 413, "larger than 1000 bytes")
        assert_error(
            client.post(INFER, content=b"", headers={"Content-Length": "9" * 5000}), 413, "larger than"
        )
        assert_error(client.post("/v2/repository/index", content=bytes(1001)), 413, "larger than 1000 bytes")
        assert_error(ask(client, rows(*range(4)), binary=True), 413, "has 4 rows; a request holds at most 3")


def test_full_queue_and_shutdown_reject_requests(client: TestClient, service: Service) -> None:
    registry = service.plane.registry
    registry.resolve().admission.acquire(1024)
    response = ask(client, rows(0))
    assert_error(response, 429, "the queue is full")
    assert int(response.headers["retry-after"]) >= 1
    registry.stop()
    assert_error(ask(client, rows(0)), 503, "shutting down")
    assert_error(client.get("/v2/models/shades/ready"), 503, "shutting down")


def test_requests_are_counted_under_the_protocols_name(client: TestClient) -> None:
    ask(client, rows(0))
    page = client.get("/metrics").text
    labels = 'code="200",model="shades",protocol="open_inference",version="1"'
    assert f"convserve_requests_total{{{labels}}} 1.0" in page
