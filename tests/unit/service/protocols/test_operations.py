from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from service.asgi.app import Service, create_app
from service.config.settings import Settings
from tests.support.models.file_records import record_files
from tests.support.models.gray_classifier import LABELS, image, level, publish_shades

PNG = {"Content-Type": "image/png"}


def test_root_links_to_the_endpoints(client: TestClient) -> None:
    document = client.get("/").json()
    assert document["status"] == "alive"
    for name, path in document["links"].items():
        response = client.post(path) if name == "classify" else client.get(path)
        assert response.status_code != 404, path


def test_probes(client: TestClient, service: Service) -> None:
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {
        "status": "ready",
        "models": [{"name": "shades", "version": "1"}],
        "failed": [],
        "problems": [],
    }
    service.plane.registry.drain()
    response = client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (503, "draining")
    assert response.json()["error"] == "the server is not ready: draining"
    assert client.get("/livez").status_code == 200
    assert client.post("/classify", content=image(0), headers=PNG).status_code == 200


def test_readiness_names_the_default_model_that_failed_to_load(repository: Path) -> None:
    (publish_shades(repository, "broken") / "golden.npz").unlink()
    with TestClient(create_app(Settings(models=repository, default_model="broken"))) as client:
        response = client.get("/readyz")
        others = client.post("/models/shades/classify", content=image(0), headers=PNG)
    assert (response.status_code, response.json()["status"]) == (503, "failed")
    assert response.json()["error"].startswith(
        "the server is not ready: the default model broken version 1 is not served: golden.npz"
    )
    assert others.status_code == 200


def test_models_lists_served_and_failed_versions(repository: Path) -> None:
    (publish_shades(repository) / "golden.npz").unlink()
    with TestClient(create_app(Settings(models=repository))) as client:
        listing = client.get("/models").json()
        one = client.get("/models/shades").json()
    assert listing["default"] == "shades"
    [model] = listing["models"]
    assert model["labels"] == list(LABELS)
    assert model["accuracy"] == 1.0
    assert model["input"]["height"] == 8
    assert (model["provider"], model["device"], model["threads"]) == ("cpu", "CPU", 1)
    assert re.fullmatch(r"[0-9a-f]{64}", model["provenance"]["onnx"]["sha256"])
    [failure] = listing["failed"]
    assert (failure["name"], failure["version"]) == ("shades", "2")
    assert "golden.npz cannot be read" in failure["reason"]
    assert one == {
        "name": "shades",
        "versions": [model],
        "labels": {},
        "failed": [failure],
        "problem": None,
    }


def test_files_of_a_version_are_served_if_its_manifest_names_them(repository: Path) -> None:
    folder = repository / "shades" / "1"
    (folder / "kernels.png").write_bytes(image(0))
    (folder / "unlisted.png").write_bytes(image(1))
    (folder / "picture.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "curves.json").write_text("{}")
    unlisted = folder / "unlisted.png"
    unlisted.rename(repository / "unlisted.png")
    record_files(folder)
    (repository / "unlisted.png").rename(unlisted)
    with TestClient(create_app(Settings(models=repository))) as client:
        [described] = client.get("/models").json()["models"]
        files = "/models/shades/versions/1/files"
        assert {"kernels.png", "curves.json", "example.png"} <= set(described["files"])
        kernels = client.get(f"{files}/kernels.png")
        assert (kernels.content, kernels.headers["content-type"]) == (image(0), "image/png")
        assert "sandbox" in kernels.headers["content-security-policy"]
        unchanged = client.get(f"{files}/kernels.png", headers={"If-None-Match": kernels.headers["etag"]})
        assert unchanged.status_code == 304
        (folder / "kernels.png").write_bytes(image(2))  # not as published any more
        (folder / "curves.json").unlink()
        for name in ("kernels.png", "curves.json", "unlisted.png", "picture.svg", "model.onnx", "golden.npz"):
            response = client.get(f"{files}/{name}")
            assert response.status_code == 404, name
            assert f"has no file {name!r}" in response.json()["error"]
        for name in ("manifest.json", "..%2Fmanifest.json", "%2e%2e/manifest.json"):
            assert client.get(f"{files}/{name}").status_code == 404


def test_unknown_model(client: TestClient) -> None:
    response = client.get("/models/none")
    assert response.status_code == 404
    assert response.json() == {"error": "no model 'none' is served; available: shades"}


def test_metrics_in_both_formats(client: TestClient) -> None:
    client.post("/classify", content=image(level(4)), headers=PNG)
    text = client.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain")
    assert 'convserve_predictions_total{label="shade 4",model="shades",version="1"} 1.0' in text.text
    open_metrics = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.text.endswith("# EOF\n")


def test_description_is_sent_again_only_after_a_change(client: TestClient) -> None:
    response = client.get("/openapi.json")
    etag = response.headers["etag"]
    for value in (etag, f'"other", {etag}', "*"):
        unchanged = client.get("/openapi.json", headers={"If-None-Match": value})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["etag"] == etag
        assert "content-length" not in unchanged.headers
    assert client.get("/openapi.json", headers={"If-None-Match": '"other"'}).content == response.content


def test_every_openapi_example_works(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    tried = []
    for path, operations in paths.items():
        assert not any("422" in operation["responses"] for operation in operations.values())
        body = operations.get("post", {}).get("requestBody")
        if body is None or "application/json" not in body["content"]:
            continue
        example = body["content"]["application/json"]["example"]
        names = {each["name"]: each.get("example") for each in operations["post"]["parameters"]}
        response = client.post(path.format_map(names), json=example)
        wanted = 404 if "{label}" in path else 200  # versions have no labels
        assert response.status_code == wanted, response.text
        if path.endswith("/unload"):  # the other paths need the model
            client.post(path.format_map(names).replace("/unload", "/load"), json={})
        tried.append(path)
    assert len(tried) == 23


def test_openapi_example_is_the_image_of_the_model(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    example = paths["/classify"]["post"]["requestBody"]["content"]["application/json"]["example"]
    image = base64.b64decode(example["images"][0]["b64"])
    assert client.post("/classify", content=image).json()["predictions"][0]["label"] == "shade 7"


def test_internal_error_is_a_generic_500(repository: Path) -> None:
    app: FastAPI = create_app(Settings(models=repository))

    @app.get("/broken")
    async def broken(request: Request) -> None:
        raise RuntimeError("secret")

    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.get("/broken")
    assert response.status_code == 500
    assert response.json() == {"error": "internal error; details are in the server's log"}


def test_requests_are_counted_by_known_model_and_status(client: TestClient) -> None:
    client.post("/classify", content=image(0), headers=PNG)
    client.post("/classify", content=b"text", headers=PNG)
    client.post("/models/evil-name/classify", content=image(0), headers=PNG)
    page = client.get("/metrics").text
    count = 'convserve_requests_total{code="%s",model="%s",protocol="native",version="%s"} 1.0'
    assert count % ("200", "shades", "1") in page
    assert count % ("400", "shades", "1") in page
    assert count % ("404", "", "") in page
    assert "evil" not in page
    assert "convserve_inflight_requests 0.0" in page


@pytest.mark.parametrize("accept", ["text/html", "*/*", "application/json", "nonsense;;q="])
def test_metrics_accept_any_accept_header(client: TestClient, accept: str) -> None:
    assert client.get("/metrics", headers={"Accept": accept}).status_code == 200
