"""The native dialect on the real application and engine."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.asgi.app import Service, build, create_app
from service.batching.pending_request import Rows, Scores
from service.config.settings import Settings
from tests.support.http.errors import assert_error
from tests.support.models.gray_classifier import LABELS, configure, image, level, publish_shades

PNG = {"Content-Type": "image/png"}
PATHS = ["/classify", "/models/shades/classify", "/models/shades/versions/1/classify"]


@pytest.fixture
def narrow_service(repository: Path) -> Service:
    """The application with small limits."""
    settings = Settings(
        models=repository, max_body_bytes=4096, max_images=3, queue_limit=3, max_pixels=10_000
    )
    return build(settings)


@pytest.fixture
def narrow(narrow_service: Service) -> Iterator[TestClient]:
    with TestClient(narrow_service.app) as client:
        yield client


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def labels(response: Any) -> list[str]:
    assert response.status_code == 200, response.text
    return [prediction["label"] for prediction in response.json()["predictions"]]


def test_raw_image(client: TestClient) -> None:
    response = client.post("/classify?top_k=2", content=image(level(3)), headers=PNG)
    assert response.status_code == 200
    document = response.json()
    assert (document["model"], document["version"]) == ("shades", "1")
    [prediction] = document["predictions"]
    assert prediction["filename"] is None
    assert (prediction["label"], prediction["index"]) == ("shade 3", 3)
    assert prediction["probability"] == pytest.approx(1, abs=1e-6)
    assert prediction["top_k"][0] == {
        "label": "shade 3",
        "index": 3,
        "probability": prediction["probability"],
    }
    assert len(prediction["top_k"]) == 2


@pytest.mark.parametrize("content_type", ["image/png", "image/x-anything", "application/octet-stream", None])
def test_media_types_of_a_raw_image(client: TestClient, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert labels(client.post("/classify", content=image(level(5)), headers=headers)) == ["shade 5"]


def test_form_keeps_the_order_of_its_files(client: TestClient) -> None:
    files = [(f"field{index}", (f"{index}.png", image(level(index)))) for index in (4, 2, 9)]
    response = client.post("/classify", files=files)
    assert labels(response) == ["shade 4", "shade 2", "shade 9"]
    assert [p["filename"] for p in response.json()["predictions"]] == ["4.png", "2.png", "9.png"]


def test_json_with_and_without_a_data_uri(client: TestClient) -> None:
    one, two = b64(image(level(1))), b64(image(level(2)))
    images = [{"b64": one}, {"b64": f"data:image/png;base64,{two}", "filename": "two.png"}]
    response = client.post("/classify", json={"images": images})
    assert labels(response) == ["shade 1", "shade 2"]
    assert [p["filename"] for p in response.json()["predictions"]] == [None, "two.png"]


def test_more_images_than_a_batch_run_in_chunks(client: TestClient) -> None:
    files = [("images", (f"{index}.png", image(level(index % 10)))) for index in range(100)]
    assert labels(client.post("/classify", files=files)) == [LABELS[index % 10] for index in range(100)]


def test_large_images_are_decoded_in_the_pool(client: TestClient) -> None:
    files = [("images", (f"{index}.png", image(level(index), side=400))) for index in range(5)]
    assert labels(client.post("/classify", files=files)) == list(LABELS[:5])


def test_names_versions_and_labels_in_the_path(repository: Path) -> None:
    configure(repository, 'versions = "all"\nlabels = {canary = 2, old = 1}')
    publish_shades(repository)
    publish_shades(repository, "other.name-2_x")
    with TestClient(create_app(Settings(models=repository, default_model="other.name-2_x"))) as client:
        served_by_path = {
            "/classify": ("other.name-2_x", "1"),
            "/models/shades/classify": ("shades", "2"),
            "/models/shades/versions/1/classify": ("shades", "1"),
            "/models/shades/versions/canary/classify": ("shades", "2"),
            "/models/shades/labels/canary/classify": ("shades", "2"),
            "/models/shades/labels/old/classify": ("shades", "1"),
        }
        for path, served in served_by_path.items():
            document = client.post(path, content=image(0), headers=PNG).json()
            assert (document["model"], document["version"]) == served


@pytest.mark.parametrize(
    ("top_k", "classes"), [("1", 1), ("3", 3), ("10", 10), ("11", 10), ("999999999", 10)]
)
def test_top_k_is_capped_at_the_number_of_classes(client: TestClient, top_k: str, classes: int) -> None:
    response = client.post(f"/classify?top_k={top_k}", content=image(128), headers=PNG)
    ranked = response.json()["predictions"][0]["top_k"]
    assert len(ranked) == classes
    assert [r["probability"] for r in ranked] == sorted((r["probability"] for r in ranked), reverse=True)


def test_top_k_is_five_by_default(client: TestClient) -> None:
    response = client.post("/classify", content=image(0), headers=PNG)
    assert len(response.json()["predictions"][0]["top_k"]) == 5


@pytest.mark.parametrize("top_k", ["0", "abc", "-1", "1.5", "", "1e3", "²", "9999999999999"])
def test_invalid_top_k(client: TestClient, top_k: str) -> None:
    response = client.post("/classify", params={"top_k": top_k}, content=image(0), headers=PNG)
    assert_error(response, 400, "top_k must be an integer of at least 1")


@pytest.mark.parametrize(
    "path", ["/classify", "/models/shades/classify", "/models/shades/versions/1/classify"]
)
@pytest.mark.parametrize("query", ["topk=1", "top_k=1&topk=1", "&x=", "TOP_K=1"])
def test_unknown_query_parameter_is_rejected(client: TestClient, path: str, query: str) -> None:
    response = client.post(f"{path}?{query}", content=image(0), headers=PNG)
    assert_error(response, 400, r"^unknown query parameter '(topk|x|TOP_K)'; known parameters: top_k$")


def test_stage_timings_in_milliseconds(client: TestClient) -> None:
    timing = client.post("/classify", content=image(0), headers=PNG).headers["server-timing"]
    assert re.fullmatch(r"decode;dur=\d+\.\d{3}, queue;dur=\d+\.\d{3}, compute;dur=\d+\.\d{3}", timing)


BAD_BODIES = {
    "empty": (b"", PNG, 400, "the body is empty"),
    "text as image": (b"hello world", PNG, 400, "not an image in a supported format.*hello world"),
    "truncated": (image(9, side=50)[:-30], PNG, 400, "PNG is truncated or corrupt"),
    "form without boundary": (b"x", {"Content-Type": "multipart/form-data"}, 400, "no boundary"),
    "not json": (b"{", {"Content-Type": "application/json"}, 400, "the body: Invalid JSON"),
    "no image": (b'{"images": []}', {"Content-Type": "application/json"}, 400, "has no images"),
    "text": (b"x", {"Content-Type": "text/plain"}, 415, "'text/plain' is not supported"),
    "curl's default": (b"x", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "with curl: -H"),
    "gzip": (b"x", PNG | {"Content-Encoding": "gzip"}, 415, "Content-Encoding 'gzip' is not supported"),
}


@pytest.mark.parametrize(("body", "headers", "status", "sentence"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_bad_bodies(
    client: TestClient, body: bytes, headers: dict[str, str], status: int, sentence: str
) -> None:
    assert_error(client.post("/classify", content=body, headers=headers), status, sentence)
    assert labels(client.post("/classify", content=image(level(1)), headers=PNG)) == ["shade 1"]


def test_invalid_base64_is_named_by_index(client: TestClient) -> None:
    images = [{"b64": b64(image(0))}, {"b64": "?"}]
    assert_error(
        client.post("/classify", json={"images": images}), 400, r"images\.1\.b64 is not valid base64"
    )
    assert_error(
        client.post("/classify", json={"images": images[1:]}), 400, r"^images\.0\.b64 is not valid base64: "
    )


@pytest.mark.parametrize("side", [8, 400], ids=["decoded here", "decoded in the pool"])
def test_invalid_base64_and_undecodable_images_are_reported_together(client: TestClient, side: int) -> None:
    images = [
        {"b64": "?", "filename": "first.png"},
        {"b64": b64(image(0, side=side))},
        {"b64": b64(b"some text")},
        {"b64": "AAAAA"},
        {"b64": b64(image(7, side=50)[:-30]), "filename": "cut.png"},
    ]
    sentence = (
        r"^4 of 5 images cannot be read: image 0 \(first\.png\): images\.0\.b64 is not valid base64: [^;]+; "
        r"image 2: not an image in .*; image 3: images\.3\.b64 is not valid base64: [^;]+; "
        r"image 4 \(cut\.png\): "
    )
    assert_error(client.post("/classify", json={"images": images}), 400, sentence)


def test_every_bad_image_is_named_by_index_and_file_name(client: TestClient) -> None:
    files = [
        ("images", ("good.png", image(0))),
        ("images", ("note.txt", b"some text")),
        ("images", ("cut.png", image(7, side=50)[:-30])),
    ]
    response = client.post("/classify", files=files)
    assert_error(
        response, 400, r"2 of 3 images cannot be read: image 1 \(note\.txt\): .*; image 2 \(cut\.png\): "
    )


def test_truncated_image_is_named(client: TestClient) -> None:
    """A truncated image has a valid header and fails only in decoding."""
    files = [("images", ("cut.png", image(7, side=50)[:-30])), ("images", ("good.png", image(0)))]
    assert_error(
        client.post("/classify", files=files), 400, r"1 of 2 images cannot be read: image 0 \(cut\.png\)"
    )


def test_image_bomb_is_rejected_by_its_header(narrow: TestClient) -> None:
    bomb = image(0, side=500)
    assert len(bomb) < 4096
    assert_error(narrow.post("/classify", content=bomb, headers=PNG), 400, "500.*500")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/models/none/classify", "no model 'none' is served; available: shades"),
        ("/models/shades/versions/9/classify", "shades has no version '9'; available: 1"),
        ("/models/shades/versions/x/classify", "shades has no version 'x'"),
        ("/models/shades/versions/1", "Not Found"),
    ],
)
def test_unknown_models_versions_and_paths(client: TestClient, path: str, sentence: str) -> None:
    assert_error(client.post(path, content=image(0), headers=PNG), 404, sentence)


def test_wrong_method(client: TestClient) -> None:
    assert_error(client.get("/classify"), 405, "Method Not Allowed")


def test_body_over_the_limit(narrow: TestClient) -> None:
    assert_error(narrow.post("/classify", content=b"x" * 4097, headers=PNG), 413, "larger than 4096 bytes")
    chunks = (b"x" * 1000 for _ in range(5))  # no Content-Length
    assert_error(narrow.post("/classify", content=chunks, headers=PNG), 413, "larger than 4096 bytes")


def test_too_many_images(narrow: TestClient) -> None:
    files = [("images", (f"{index}.png", image(0))) for index in range(4)]
    assert_error(narrow.post("/classify", files=files), 413, "has 4 images; the limit is 3")


@pytest.mark.parametrize("header", ["0", "-5", "soon", "nan", "inf", ""])
def test_invalid_timeout(client: TestClient, header: str) -> None:
    response = client.post("/classify", content=image(0), headers=PNG | {"X-Request-Timeout-Ms": header})
    assert_error(response, 400, "X-Request-Timeout-Ms must be a positive number")


def test_very_long_timeout(client: TestClient) -> None:
    response = client.post(
        "/classify", content=image(level(1)), headers=PNG | {"X-Request-Timeout-Ms": "1e300"}
    )
    assert labels(response) == ["shade 1"]


def test_expired_deadline(client: TestClient) -> None:
    response = client.post("/classify", content=image(0), headers=PNG | {"X-Request-Timeout-Ms": "0.0001"})
    assert_error(response, 504, "the deadline passed")
    page = client.get("/metrics").text
    assert 'convserve_rejected_total{model="shades",reason="deadline"} 1.0' in page


def test_full_queue(narrow: TestClient, narrow_service: Service) -> None:
    model = narrow_service.plane.registry.resolve()
    model.admission.acquire(3)
    response = narrow.post("/classify", content=image(0), headers=PNG)
    model.admission.release(3)
    assert_error(response, 429, "the queue is full: 3 of 3 images are queued or being decoded")
    assert int(response.headers["retry-after"]) >= 1
    page = narrow.get("/metrics").text
    assert 'convserve_rejected_total{model="shades",reason="overloaded"} 1.0' in page
    assert labels(narrow.post("/classify", content=image(level(1)), headers=PNG)) == ["shade 1"]


def test_full_queue_rejects_before_parsing(narrow: TestClient, narrow_service: Service) -> None:
    """The body is not parsed, so its errors are not reported."""
    model = narrow_service.plane.registry.resolve()
    model.admission.acquire(3)
    assert_error(narrow.post("/classify", content=b"no image", headers=PNG), 429, "the queue is full")
    assert_error(narrow.post("/classify", content=bytes(5000), headers=PNG), 429, "the queue is full")


def test_shutdown_rejects_requests_with_503(client: TestClient, service: Service) -> None:
    service.plane.registry.stop()
    assert_error(client.post("/classify", content=image(0), headers=PNG), 503, "shutting down")


def test_engine_failure_is_a_500(
    client: TestClient, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(rows: Rows) -> Scores:
        raise ZeroDivisionError

    model = service.plane.registry.resolve()
    model.batcher._run, run = fail, model.batcher._run
    response = client.post("/classify", content=image(0), headers=PNG)
    assert_error(response, 500, "^the engine failed on the batch of this request$")
    assert "ZeroDivisionError" in caplog.text
    model.batcher._run = run
    assert labels(client.post("/classify", content=image(level(1)), headers=PNG)) == ["shade 1"]
