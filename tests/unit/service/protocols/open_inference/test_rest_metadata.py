"""Metadata endpoints of the Open Inference Protocol on the real application."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service import __version__
from service.asgi.app import Service, create_app
from service.config.settings import Settings
from tests.support.http.errors import assert_error
from tests.support.models.gray_classifier import CLASSES, SIDE, configure, publish_shades

INFER = "/v2/models/shades/infer"


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    """A client that, like KServe's, follows no redirect."""
    with TestClient(service.app, follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_server_metadata_with_and_without_a_trailing_slash(client: TestClient, path: str) -> None:
    assert client.get(path).json() == {
        "name": "convserve",
        "version": __version__,
        "extensions": [
            "binary_tensor_data",
            "classification",
            "model_configuration",
            "model_repository",
            "parameters",
            "statistics",
        ],
    }


def test_health(client: TestClient, service: Service) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True, "live": True}
    service.plane.registry.drain()
    response = client.get("/v2/health/ready")
    expected = {"error": "the server is not ready: draining", "ready": False, "live": True}
    assert (response.status_code, response.json()) == (503, expected)
    assert client.get("/v2/health/live").status_code == 200


@pytest.mark.parametrize("path", ["/v2/models/shades", "/v2/models/shades/versions/1", "/v2/models/shade%73"])
def test_metadata_of_a_percent_encoded_name(client: TestClient, path: str) -> None:
    assert client.get(path).json() == {
        "name": "shades",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [-1, SIDE, SIDE, 1]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, CLASSES]}],
    }
    assert client.get(f"{path}/ready").json() == {"name": "shades", "ready": True}


def test_names_of_all_models(repository: Path) -> None:
    configure(repository, 'versions = "all"')
    publish_shades(repository)
    publish_shades(repository, "another")
    with TestClient(create_app(Settings(models=repository))) as client:
        assert client.get("/v2/models").json() == {"models": ["another", "shades"]}
        assert client.get("/v2/models/shades").json()["versions"] == ["1", "2"]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": false}', b'{"ready": true, "more": 1}'])
def test_repository_index_with_an_empty_body_and_no_content_type(repository: Path, body: bytes) -> None:
    (publish_shades(repository) / "golden.npz").unlink()
    with TestClient(create_app(Settings(models=repository))) as client:
        entries = client.post("/v2/repository/index", content=body).json()
    assert entries[0] == {"name": "shades", "version": "1", "state": "READY", "reason": ""}
    if b"true" in body:
        assert len(entries) == 1
    else:
        assert (entries[1]["version"], entries[1]["state"]) == ("2", "UNAVAILABLE")
        assert "golden.npz cannot be read" in entries[1]["reason"]


@pytest.mark.parametrize("body", [b"x", b"[]", b"null", b'{"ready": 1}', b'{"ready": "true"}', b"\xff"])
def test_invalid_index_requests(client: TestClient, body: bytes) -> None:
    assert_error(client.post("/v2/repository/index", content=body), 400, "the body|ready: ")


@pytest.mark.parametrize(
    "path",
    [
        "/v2/repository/main/index",
        "/v2/repository/main/models/shades/load",
        "/v2/systemsharedmemory/region/r/register",
        "/v2/cudasharedmemory/unregister",
    ],
)
def test_unsupported_endpoints(client: TestClient, path: str) -> None:
    assert_error(client.post(path, content=b""), 501, f"^{path} is not supported by this server$")


@pytest.mark.parametrize("kind", ["system", "cuda"])
def test_shared_memory_status_is_empty(client: TestClient, kind: str) -> None:
    response = client.get(f"/v2/{kind}sharedmemory/status")
    assert (response.status_code, response.json()) == (200, [])


@pytest.mark.parametrize("path", ["", "/infer", "/config", "/ready", "/stats"])
@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("none", "no model 'none' is served; available: shades"),
        ("shades/versions/9", "shades has no version '9'; available: 1"),
        ("shades/versions/v10", "shades has no version 'v10'"),
        ("%2e%2e", "no model '..' is served"),
        ("%ff", "no model '\ufffd' is served"),
    ],
)
def test_unknown_models_and_versions(client: TestClient, model: str, path: str, sentence: str) -> None:
    response = client.request("POST" if path == "/infer" else "GET", f"/v2/models/{model}{path}")
    assert_error(response, 404, sentence)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", INFER, 405),
        ("POST", "/v2/health/live", 405),
        ("GET", "/v2/repository/index", 405),
        ("DELETE", "/v2/models/shades", 405),
        ("GET", "/v2/models/shades/", 404),
        ("GET", "/v2/health/live/", 404),
        ("POST", f"{INFER}/", 404),
        ("GET", "/v2//", 404),
        ("POST", "/classify/", 404),
        ("POST", "/v2/models/../infer", 404),
        ("POST", "/v2/models/a%2Fb/infer", 404),
    ],
)
def test_wrong_methods_and_paths_are_never_redirected(
    client: TestClient, method: str, path: str, status: int
) -> None:
    assert_error(client.request(method, path), status, "")
