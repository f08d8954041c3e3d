"""A model of feature maps and dynamic size on the real application."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from service.asgi.app import create_app
from service.config.settings import Settings
from service.repository.manifest import MAX_DYNAMIC_PIXELS
from tests.support.http.errors import assert_error
from tests.support.models.filter_model import NAMES, feature_maps, images, publish_filters
from tests.support.models.gray_classifier import image, publish_shades

LENGTH = "Inference-Header-Content-Length"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    publish_filters(tmp_path)
    return tmp_path


@pytest.fixture
def client(models: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(models=models))) as client:
        yield client


def infer_body(pixels: NDArray[np.uint8], **parameters: Any) -> dict[str, Any]:
    tensor = {"name": "pixels", "shape": pixels.shape, "datatype": "UINT8", "data": pixels.ravel().tolist()}
    return {"inputs": [tensor], "outputs": [{"name": "maps", "parameters": parameters}]}


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (3, 17, 40), (6, 2, 2)])
def test_any_height_and_width_as_json(client: TestClient, shape: tuple[int, int, int]) -> None:
    pixels = images(*shape)
    response = client.post("/v2/models/filters/infer", json=infer_body(pixels))
    assert response.status_code == 200, response.text
    (output,) = response.json()["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("maps", "FP32", [*shape, 4])
    np.testing.assert_allclose(np.reshape(output["data"], (*shape, 4)), feature_maps(pixels), atol=1e-3)


def test_any_height_and_width_as_bytes(client: TestClient) -> None:
    pixels = images(2, 30, 20)
    tensor: dict[str, Any] = {"name": "pixels", "shape": pixels.shape, "datatype": "UINT8"}
    tensor["parameters"] = {"binary_data_size": pixels.nbytes}
    document = {"inputs": [tensor], "outputs": [{"name": "maps", "parameters": {"binary_data": True}}]}
    head = json.dumps(document).encode()
    response = client.post(
        "/v2/models/filters/infer", content=head + pixels.tobytes(), headers={LENGTH: str(len(head))}
    )
    assert response.status_code == 200, response.text
    data = response.content[int(response.headers[LENGTH]) :]
    np.testing.assert_allclose(
        np.frombuffer(data, "<f4").reshape(2, 30, 20, 4), feature_maps(pixels), atol=1e-3
    )


@pytest.mark.parametrize(("member", "named"), [("instances", "predictions"), ("inputs", "outputs")])
def test_any_height_and_width_by_predict(client: TestClient, member: str, named: str) -> None:
    pixels = images(2, 3, 7)
    response = client.post("/v1/models/filters:predict", json={member: pixels.tolist()})
    assert response.status_code == 200, response.text
    np.testing.assert_allclose(response.json()[named], feature_maps(pixels), atol=1e-3)


def test_encoded_image_keeps_its_size(client: TestClient) -> None:
    pixels = images(1, 11, 23)
    buffer = io.BytesIO()
    Image.fromarray(pixels[0, ..., 0]).save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    response = client.post("/v1/models/filters:predict", json={"instances": [{"b64": text}]})
    assert response.status_code == 200, response.text
    np.testing.assert_allclose(response.json()["predictions"], feature_maps(pixels), atol=1e-3)
    raw = client.post("/v2/models/filters/infer", content=buffer.getvalue(), headers={LENGTH: "0"})
    data = raw.content[int(raw.headers[LENGTH]) :]
    np.testing.assert_allclose(
        np.frombuffer(data, "<f4").reshape(1, 11, 23, 4), feature_maps(pixels), atol=1e-3
    )


def test_only_one_encoded_image_per_request(client: TestClient) -> None:
    text = base64.b64encode(image(7)).decode()
    response = client.post("/v1/models/filters:predict", json={"instances": [{"b64": text}] * 2})
    assert_error(response, 400, "only one encoded image per request")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/models/filters/classify", {"images": [{"b64": base64.b64encode(image(7)).decode()}]}),
        ("/models/filters/versions/1/classify", None),
        ("/v1/models/filters:classify", {"examples": [{"image": images(1, 4, 4)[0].tolist()}]}),
        ("/v1/models/filters:CLASSIFY", {"examples": [{"image": images(1, 4, 4)[0].tolist()}]}),
        ("/predictions/filters", None),
        ("/v2/models/filters/infer", infer_body(images(1, 4, 4), classification=3)),
    ],
)
def test_classification_is_rejected_in_every_dialect(client: TestClient, path: str, content: Any) -> None:
    body = {"content": image(7)} if content is None else {"json": content}
    assert_error(client.post(path, **body), 400, "^filters is not a classifier: it returns feature maps")


@pytest.mark.parametrize(
    ("shape", "status", "message"),
    [
        ([1, 4, 4], 400, r"expected UINT8 of shape \[n, height, width, 1\]"),
        ([1, 4, 0, 1], 400, r"expected UINT8 of shape \[n, height, width, 1\]"),
        ([1, 4, -4, 1], 400, "expected UINT8"),
        ([1, 4, 4, 3], 400, "expected UINT8"),
        ([0, 4, 4, 1], 400, "0 rows"),
        ([1, 1 << 40, 1 << 40, 1], 413, f"at most {MAX_DYNAMIC_PIXELS:,}"),
        ([2, 2048, 1025, 1], 413, f"at most {MAX_DYNAMIC_PIXELS:,}"),
        ([1, 4, 4, 1], 400, r"does not match \[1, 4, 4, 1\]"),
    ],
)
def test_invalid_shapes(client: TestClient, shape: list[int], status: int, message: str) -> None:
    tensor = {"name": "pixels", "shape": shape, "datatype": "UINT8", "data": [0] * 15}
    assert_error(client.post("/v2/models/filters/infer", json={"inputs": [tensor]}), status, message)


def test_large_feature_maps_need_binary_outputs(client: TestClient) -> None:
    pixels = images(1, 1025, 1024)
    tensor: dict[str, Any] = {"name": "pixels", "shape": pixels.shape, "datatype": "UINT8"}
    tensor["parameters"] = {"binary_data_size": pixels.nbytes}
    for binary in (False, True):
        outputs = [{"name": "maps", "parameters": {"binary_data": binary}}]
        head = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
        response = client.post(
            "/v2/models/filters/infer", content=head + pixels.tobytes(), headers={LENGTH: str(len(head))}
        )
        if binary:
            assert response.status_code == 200, response.text
        else:
            assert_error(response, 413, "request binary data")


def test_image_over_the_pixel_limit_is_not_decoded(client: TestClient) -> None:
    buffer = io.BytesIO()
    Image.new("L", (4096, 1025)).save(buffer, "PNG")
    response = client.post("/v2/models/filters/infer", content=buffer.getvalue(), headers={LENGTH: "0"})
    assert_error(response, 400, f"{MAX_DYNAMIC_PIXELS:,}")


def test_dynamic_axes_in_metadata(client: TestClient) -> None:
    metadata = client.get("/v2/models/filters").json()
    assert metadata["inputs"][0]["shape"] == [-1, -1, -1, 1]
    assert metadata["outputs"][0]["shape"] == [-1, -1, -1, 4]
    config = client.get("/v2/models/filters/config").json()
    assert config["input"][0]["dims"] == [-1, -1, 1]
    assert config["output"][0]["dims"] == [-1, -1, 4]
    assert config["output"][0]["label_filename"] == ""
    signature = client.get("/v1/models/filters/metadata").json()["metadata"]["signature_def"]
    (described,) = signature["signature_def"]["serving_default"]["outputs"].values()
    assert [axis["size"] for axis in described["tensor_shape"]["dim"]] == ["-1", "-1", "-1", "4"]


def test_list_of_models_describes_the_output(client: TestClient) -> None:
    (model,) = client.get("/models").json()["models"]
    assert model["accuracy"] is None
    assert model["output"]["kind"] == "maps"
    assert model["labels"] == list(NAMES)
    assert model["provenance"]["weights"] == "fixed"
    assert (model["input"]["height"], model["input"]["width"]) == (None, None)


def test_no_predictions_are_counted(client: TestClient) -> None:
    client.post("/v2/models/filters/infer", json=infer_body(images(2, 3, 3)))
    page = client.get("/metrics").text
    assert 'convserve_images_total{model="filters",version="1"} 2.0' in page
    assert "convserve_predictions_total{" not in page


def test_map_model_is_never_the_default(models: Path) -> None:
    with TestClient(create_app(Settings(models=models))) as alone:
        response = alone.post("/classify", content=image(7))
        assert_error(response, 404, "no model 'convnet' is served; available: filters")
    publish_shades(models)
    with TestClient(create_app(Settings(models=models))) as both:
        assert both.get("/models").json()["default"] == "shades"
        assert both.post("/classify", content=image(7)).json()["model"] == "shades"


def test_concurrent_requests_of_different_sizes(models: Path) -> None:
    """They are batched together if their sizes match."""
    sizes = [(3, 4), (4, 3), (3, 4), (5, 5), (4, 3), (3, 4)]
    settings = Settings(models=models, max_queue_delay_ms=20)
    with TestClient(create_app(settings)) as client, ThreadPoolExecutor(len(sizes)) as pool:
        responses = list(pool.map(lambda size: _maps_of(client, images(1, *size)), sizes))
    for size, response in zip(sizes, responses, strict=True):
        pixels = images(1, *size)
        np.testing.assert_allclose(np.reshape(response, (1, *size, 4)), feature_maps(pixels), atol=1e-3)


def _maps_of(client: TestClient, pixels: NDArray[np.uint8]) -> Any:
    return client.post("/v2/models/filters/infer", json=infer_body(pixels)).json()["outputs"][0]["data"]
