from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from service.asgi.app import build
from service.config.settings import Settings, shipped_models
from tests.support.models.gray_classifier import image

PNG = {"Content-Type": "image/png"}


def pixels(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as opened:
        return np.asarray(opened)


def encoded(array: NDArray[np.uint8], form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form)
    return buffer.getvalue()


def test_image_of_the_input_size_comes_back_unchanged(client: TestClient) -> None:
    sent = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    for path in ("/models/shades/input", "/models/shades/versions/1/input"):
        response = client.post(path, content=encoded(sent), headers=PNG)
        assert response.headers["content-type"] == "image/png"
        assert "sandbox" in response.headers["content-security-policy"]
        assert np.array_equal(pixels(response.content), sent)


def test_input_is_what_the_decoder_gives_to_the_network() -> None:
    """Dark ink on light paper is inverted, and a photograph is resized, as for the network itself."""
    photo = np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)
    paper = np.full((60, 60), 255, np.uint8)
    paper[20:40, 28:32] = 0
    service = build(Settings(models=shipped_models()))
    with TestClient(service.app) as client:
        for name, sent in (("signnet", photo), ("convnet", paper), ("filters", paper), ("lenet5", photo)):
            decoder = service.plane.registry.resolve(name).decoder
            row = decoder.read(encoded(sent), decoder.inspect(encoded(sent)))
            got = pixels(client.post(f"/models/{name}/input", content=encoded(sent), headers=PNG).content)
            assert np.array_equal(got.reshape(row.shape), row), name


@pytest.mark.parametrize("count", [0, 2])
def test_input_is_returned_for_one_image(client: TestClient, count: int) -> None:
    body = {"images": [{"b64": base64.b64encode(image(index)).decode()} for index in range(count)]}
    response = client.post("/models/shades/input", json=body)
    assert response.status_code == 400
    assert f"has {count} images" in response.json()["error"]


def test_errors_are_those_of_classify(client: TestClient, repository: Path) -> None:
    for path, content, headers in (
        ("/models/none", image(0), PNG),
        ("/models/shades", b"", PNG),
        ("/models/shades", b"no image", PNG),
        ("/models/shades", image(0)[:40], PNG),
        ("/models/shades", image(0), {"Content-Type": "text/html"}),
        ("/models/shades", b"{", {"Content-Type": "application/json"}),
    ):
        classified = client.post(f"{path}/classify", content=content, headers=headers)
        response = client.post(f"{path}/input", content=content, headers=headers)
        assert (response.status_code, response.json()) == (classified.status_code, classified.json())
        assert response.status_code >= 400
