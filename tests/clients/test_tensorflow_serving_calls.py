"""The calls that the documentation of TensorFlow Serving and TorchServe shows, over plain HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import httpx2
import numpy as np
import pytest

from tests.support.clients.pixel_images import Pixels, png
from tests.support.http.native_response import probabilities, ranked
from tests.support.models.gray_classifier import CLASSES, SIDE, image, level, rows
from tests.support.server.server_process import ServerProcess


def post(server: ServerProcess, path: str, document: Any) -> Any:
    """Posts JSON like `curl -d '…'`, which sends the Content-Type of a form."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    response = httpx2.post(f"{server.url}{path}", content=json.dumps(document), headers=form)
    assert response.headers["content-type"] == "application/json"
    assert response.status_code == 200, response.text
    return response.json()


def b64(file: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(file).decode()}


@pytest.mark.parametrize("place", ["/v1/models/shades", "/v1/models/shades/versions/1"])
def test_model_status(server: ServerProcess, place: str) -> None:
    [state] = httpx2.get(f"{server.url}{place}").json()["model_version_status"]
    assert state == {
        "version": "1",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }


def test_model_metadata(server: ServerProcess) -> None:
    document = httpx2.get(f"{server.url}/v1/models/shades/metadata").json()
    signature = document["metadata"]["signature_def"]["signature_def"]["serving_default"]
    shape = [int(dim["size"]) for dim in signature["inputs"]["pixels"]["tensor_shape"]["dim"]]
    assert shape == [-1, SIDE, SIDE, 1]
    assert signature["inputs"]["pixels"]["dtype"] == "DT_UINT8"


def test_predict_in_row_format_and_in_column_format(server: ServerProcess) -> None:
    both = rows(level(2), level(6)).tolist()
    expected = np.stack([probabilities(server.url, "shades", image(level(index))) for index in (2, 6)])
    bodies: list[dict[str, Any]] = [
        {"instances": both},
        {"signature_name": "serving_default", "instances": [{"pixels": row} for row in both]},
        {"inputs": both},
        {"inputs": {"pixels": both}},
    ]
    for body in bodies:
        response = post(server, "/v1/models/shades:predict", body)
        key = "predictions" if "instances" in body else "outputs"
        assert list(response) == [key]
        np.testing.assert_array_equal(np.array(response[key], np.float32), expected)


def test_predict_of_encoded_images(server: ServerProcess) -> None:
    files = [image(level(index), side=50) for index in range(CLASSES)]
    response = post(server, "/v1/models/shades:predict", {"instances": [b64(file) for file in files]})
    expected = np.stack([probabilities(server.url, "shades", file) for file in files])
    np.testing.assert_array_equal(np.array(response["predictions"], np.float32), expected)


def test_classify(server: ServerProcess) -> None:
    body = {"examples": [{"image": b64(image(level(3)))}]}
    response = post(server, "/v1/models/shades:classify", body)
    native = ranked(server.url, "shades", image(level(3)))
    assert response == {"results": [[[each["label"], each["probability"]] for each in native]]}


def digits_agree(server: ServerProcess, digits: Sequence[Pixels]) -> None:
    body = {"instances": np.stack(digits)[..., np.newaxis].tolist()}
    response = post(server, "/v1/models/convnet:predict", body)
    expected = np.stack([probabilities(server.url, "convnet", png(digit)) for digit in digits])
    np.testing.assert_array_equal(np.array(response["predictions"], np.float32), expected)


def test_drawn_digits_bit_for_bit(shipped: ServerProcess, digits: Sequence[Pixels]) -> None:
    digits_agree(shipped, digits)


def test_digits_of_mnist_bit_for_bit(shipped: ServerProcess, mnist: Sequence[Pixels]) -> None:
    digits_agree(shipped, mnist)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/none:predict", 404),
        ("/v1/models/shades/versions/7:predict", 404),
        ("/v1/models/shades:predict", 400),
        ("/v1/models/shades:regress", 501),
    ],
)
def test_errors_are_an_object_with_a_message(server: ServerProcess, path: str, status: int) -> None:
    response = httpx2.post(f"{server.url}{path}")
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    assert isinstance(response.json()["error"], str)


def test_torchserve_prediction_of_an_uploaded_file(shipped: ServerProcess, digits: Sequence[Pixels]) -> None:
    response = httpx2.put(f"{shipped.url}/predictions/convnet", content=png(digits[5]))
    native = ranked(shipped.url, "convnet", png(digits[5]))[:5]
    assert response.json() == {each["label"]: each["probability"] for each in native}
    assert httpx2.get(f"{shipped.url}/ping").json() == {"status": "Healthy"}
