"""TorchServe's inference API on the real application."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.asgi.app import Service, create_app
from service.config.settings import Settings
from tests.support.http.errors import assert_error
from tests.support.models.gray_classifier import configure, image, level, publish_shades

PREDICT = "/predictions/shades"


@pytest.mark.parametrize("method", ["POST", "PUT"])  # curl -d, curl -T
@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/x-www-form-urlencoded"}])
def test_raw_image_of_any_media_type(client: TestClient, method: str, headers: dict[str, str]) -> None:
    response = client.request(method, PREDICT, content=image(level(6)), headers=headers)
    assert response.status_code == 200
    native = client.post("/classify", content=image(level(6))).json()["predictions"][0]["top_k"]
    assert list(response.json().items()) == [(each["label"], each["probability"]) for each in native]
    assert response.headers["server-timing"].startswith("decode;dur=")


@pytest.mark.parametrize("field", ["data", "body"])
def test_form_of_one_file(client: TestClient, field: str) -> None:
    response = client.post(PREDICT, files={field: ("six.png", image(level(6)))})
    assert next(iter(response.json())) == "shade 6"


def test_versions(repository: Path) -> None:
    configure(repository, 'versions = "all"')
    publish_shades(repository)
    with TestClient(create_app(Settings(models=repository))) as client:
        assert client.post(f"{PREDICT}/1", content=image(0)).status_code == 200
        assert client.post(f"{PREDICT}/2", content=image(0)).status_code == 200
        assert_error(client.post(f"{PREDICT}/3", content=image(0)), 404, "no version '3'; available: 1, 2")


def test_ping(client: TestClient, service: Service) -> None:
    assert client.get("/ping").json() == {"status": "Healthy"}
    service.plane.registry.drain()
    response = client.get("/ping")
    assert (response.status_code, response.json()) == (
        503,
        {"error": "the server is not ready: draining", "status": "Unhealthy"},
    )


@pytest.mark.parametrize(
    ("request_", "status", "sentence"),
    [
        ({"content": b""}, 400, "the image is empty"),
        ({"content": b"text"}, 400, "not an image in a supported format"),
        ({"files": [("data", ("a", image(0)))] * 2}, 400, "takes exactly one image; the form has 2"),
        ({"files": {}, "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400, "multipart"),
        ({"content": image(0), "headers": {"X-Request-Timeout-Ms": "0"}}, 400, "must be a positive number"),
    ],
)
def test_errors(client: TestClient, request_: dict[str, Any], status: int, sentence: str) -> None:
    assert_error(client.post(PREDICT, **request_), status, sentence)


def test_unknown_model_and_a_wrong_method(client: TestClient) -> None:
    assert_error(client.put("/predictions/none", content=image(0)), 404, "no model 'none' is served")
    assert_error(client.get(PREDICT), 405, "Method Not Allowed")
