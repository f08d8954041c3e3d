"""TensorFlow Serving's REST API and KServe's v1 protocol on the real application."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from export.repository.manifest import InputSpec
from service.asgi.app import Service, create_app
from service.config.settings import Settings
from tests.support.http.errors import assert_error
from tests.support.models.gray_classifier import (
    CLASSES,
    LABELS,
    SIDE,
    configure,
    image,
    level,
    publish_shades,
    rows,
    scores,
)
from tests.support.models.linear_model import HEIGHT, WIDTH, Linear

MODEL = "/v1/models/shades"
AVAILABLE = {"error_code": "OK", "error_message": ""}


def b64(value: int) -> dict[str, str]:
    return {"b64": base64.b64encode(image(value)).decode()}


def probabilities(client: TestClient, value: int) -> list[dict[str, Any]]:
    """Probabilities from the native dialect, best first."""
    response = client.post(f"/classify?top_k={CLASSES}", content=image(value)).json()
    ranked: list[dict[str, Any]] = response["predictions"][0]["top_k"]
    return ranked


@pytest.mark.parametrize("place", [MODEL, f"{MODEL}/versions/1"])
def test_status_and_readiness_in_one_object(client: TestClient, place: str) -> None:
    assert client.get(place).json() == {
        "model_version_status": [{"version": "1", "state": "AVAILABLE", "status": AVAILABLE}],
        "name": "shades",
        "ready": True,
    }


def test_versions_are_listed_highest_first_with_failures(repository: Path) -> None:
    configure(repository, 'versions = "all"')
    publish_shades(repository)
    (publish_shades(repository) / "golden.npz").unlink()
    with TestClient(create_app(Settings(models=repository))) as client:
        states = client.get(MODEL).json()["model_version_status"]
        assert [(each["version"], each["state"]) for each in states] == [
            ("2", "AVAILABLE"),
            ("1", "AVAILABLE"),
            ("3", "END"),
        ]
        assert states[2]["status"]["error_code"] == "INTERNAL"
        assert "golden.npz cannot be read" in states[2]["status"]["error_message"]
        [one] = client.get(f"{MODEL}/versions/1").json()["model_version_status"]
        assert one["version"] == "1"
        assert_error(client.get(f"{MODEL}/versions/3"), 503, "shades version 3 is not served: golden.npz")
        assert_error(client.post(f"{MODEL}/versions/3:predict", json={}), 503, "is not served")


def test_server_that_is_not_ready_responds_503(client: TestClient, service: Service) -> None:
    service.plane.registry.stop()
    assert_error(client.get(MODEL), 503, "shutting down")


def test_metadata(client: TestClient) -> None:
    document = client.get(f"{MODEL}/metadata").json()
    assert document["model_spec"] == {"name": "shades", "signature_name": "", "version": "1"}
    signature = document["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    dims = [{"size": size, "name": ""} for size in ("-1", str(SIDE), str(SIDE), "1")]
    assert signature["inputs"] == {
        "pixels": {
            "dtype": "DT_UINT8",
            "tensor_shape": {"dim": dims, "unknown_rank": False},
            "name": "pixels:0",
        }
    }
    output = signature["outputs"]["probabilities"]
    assert output["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in output["tensor_shape"]["dim"]] == ["-1", str(CLASSES)]


def test_names_of_all_models(client: TestClient) -> None:
    assert client.get("/v1/models").json() == {"models": ["shades"]}


@pytest.mark.parametrize("verb", ["predict", "PREDICT", "Predict"])
def test_predict_in_row_format(client: TestClient, verb: str) -> None:
    both = rows(level(2), level(9))
    response = client.post(f"{MODEL}:{verb}", content=json.dumps({"instances": both.tolist()}))
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["predictions"]
    np.testing.assert_allclose(response.json()["predictions"], scores(both), atol=1e-6)
    for value, row in zip((level(2), level(9)), response.json()["predictions"], strict=True):
        assert row == [
            each["probability"]
            for each in sorted(probabilities(client, value), key=lambda each: each["index"])
        ]


@pytest.mark.parametrize("place", [MODEL, f"{MODEL}/versions/1"])
def test_predict_in_columnar_format_and_of_images(client: TestClient, place: str) -> None:
    pixels = client.post(f"{place}:predict", json={"inputs": rows(level(5)).tolist()}).json()
    file = client.post(f"{place}:predict", json={"inputs": {"pixels": b64(level(5))}}).json()
    instances = client.post(f"{place}:predict", json={"instances": [b64(level(5))]}).json()
    assert list(pixels) == list(file) == ["outputs"]
    assert pixels["outputs"] == file["outputs"] == instances["predictions"]


def test_classify_returns_every_label_best_first(client: TestClient) -> None:
    body = {"examples": [{"image": b64(level(3))}, {"image": b64(level(0))}]}
    document = client.post(f"{MODEL}:classify", json=body).json()
    assert list(document) == ["results"]
    assert document["results"] == [
        [[each["label"], each["probability"]] for each in probabilities(client, level(index))]
        for index in (3, 0)
    ]
    assert {label for label, _ in document["results"][0]} == set(LABELS)


def test_non_finite_scores_are_written_like_tensorflow_serving(tmp_path: Path) -> None:
    Linear(InputSpec("pixels", "float32", "NHWC", HEIGHT, WIDTH, 1, "fit"), "logits").publish(tmp_path)
    row = np.zeros((1, HEIGHT, WIDTH, 1))
    row[0, 0, 0, 0] = np.nan
    with TestClient(create_app(Settings(models=tmp_path))) as client:
        body = json.dumps({"instances": row.tolist()})
        assert "NaN" in body
        response = client.post("/v1/models/linear:predict", content=body)
    assert response.text == '{"predictions":[[NaN,NaN,NaN,NaN]]}'


def test_gzipped_request(client: TestClient) -> None:
    body = gzip.compress(json.dumps({"instances": [b64(level(4))]}).encode())
    response = client.post(f"{MODEL}:predict", content=body, headers={"Content-Encoding": "gzip"})
    assert np.argmax(response.json()["predictions"]) == 4
    response = client.post(f"{MODEL}:predict", content=body, headers={"Content-Encoding": "br"})
    assert_error(response, 415, "Content-Encoding 'br' is not supported")


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/v1/models/none:predict", 404, "no model 'none' is served; available: shades"),
        (f"{MODEL}/versions/9:predict", 404, "shades has no version '9'; available: 1"),
        (f"{MODEL}/versions/stable:classify", 404, "shades has no version 'stable'"),
        (
            f"{MODEL}/labels/stable:predict",
            404,
            "no version labelled 'stable'; labels: none",
        ),
        (f"{MODEL}:regress", 501, ":regress is not supported; use :predict or :classify"),
        (f"{MODEL}:explain", 501, ":explain is not supported"),
        (f"{MODEL}:train", 400, "unknown verb :train; use :predict or :classify"),
        (f"{MODEL}:predict", 400, "the body: Invalid JSON: EOF"),
        (f"{MODEL}:classify", 400, "the body: Invalid JSON: EOF"),
        (f"{MODEL}:predict/", 404, "Not Found"),
        (MODEL, 405, "Method Not Allowed"),
    ],
)
def test_errors(client: TestClient, path: str, status: int, sentence: str) -> None:
    assert_error(client.post(path), status, sentence)


@pytest.mark.parametrize(
    "path", ["/v1/models/none", "/v1/models/none/metadata", f"{MODEL}/labels/x/metadata"]
)
def test_status_of_unknown_models_and_versions(client: TestClient, path: str) -> None:
    assert_error(client.get(path), 404, "no model 'none'|no version labelled")


def test_limits(repository: Path) -> None:
    settings = Settings(models=repository, max_body_bytes=100_000, max_images=3)
    with TestClient(create_app(settings)) as client:
        response = client.post(f"{MODEL}:predict", json={"instances": rows(*range(4)).tolist()})
        assert_error(response, 413, "has 4 rows; a request holds at most 3")
        assert_error(client.post(f"{MODEL}:predict", content=bytes(100_001)), 413, "larger than 100000 bytes")
        bomb = gzip.compress(bytes(1_000_000))
        response = client.post(f"{MODEL}:predict", content=bomb, headers={"Content-Encoding": "gzip"})
        assert_error(response, 413, "the decompressed body is larger")


def test_expired_deadline(client: TestClient) -> None:
    headers = {"X-Request-Timeout-Ms": "0.0001"}
    response = client.post(f"{MODEL}:predict", json={"instances": [b64(0)]}, headers=headers)
    assert_error(response, 504, "the deadline passed")
