"""Explanations over HTTP, on the shipped networks."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from service.asgi.app import build
from service.config.settings import Settings
from tests.support.images.drawn_mnist import draw_digits
from tests.support.models.gray_classifier import image, level
from tests.support.models.shipped import highest_version

PNG = {"Content-Type": "image/png"}


def digit() -> bytes:
    return (highest_version("convnet") / "example.png").read_bytes()


def plain() -> str:
    """The version without `inspect.onnx`."""
    return highest_version("convnet").name


def explain(client: TestClient, model: str, query: str = "", content: bytes | None = None) -> Any:
    body = digit() if content is None else content
    response = client.post(f"/models/{model}/explain{query}", content=body, headers=PNG)
    assert response.status_code == 200, response.text
    return response.json()


def encoded(pixels: np.ndarray[Any, Any]) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


def test_best_method_of_the_convnet_is_exact(explaining: TestClient) -> None:
    document = explain(explaining, "convnet")
    assert (document["method"], document["layer"], document["exact"]) == ("contribution", "relu3", True)
    assert document["label"] == "7"
    assert np.sum(document["cells"]) + document["base"] == pytest.approx(document["score"], abs=1e-4)
    assert "of the evidence in 10 % of the pixels" in document["words"]


def test_scores_are_the_logits_of_the_served_network(explaining: TestClient) -> None:
    document = explain(explaining, "convnet", "?others=9")
    logits = {each["index"]: each["score"] for each in [document, *document["others"]]}
    powers = np.exp([logits[index] for index in range(10)])
    top = document["prediction"]["top_k"]
    for each in top:
        assert powers[each["index"]] / powers.sum() == pytest.approx(each["probability"], rel=1e-3)


@pytest.mark.parametrize("method", ["hirescam", "gradcam", "gradient", "integrated", "occlusion"])
@pytest.mark.parametrize("model", ["convnet", "lenet5"])
def test_methods_without_and_with_a_second_label(explaining: TestClient, model: str, method: str) -> None:
    document = explain(explaining, model, f"?method={method}&versus=1")
    assert document["method"] == method
    assert document["versus"] == {"label": "1", "index": 1}
    first, second = (explain(explaining, model, f"?method={method}&label={label}") for label in ("7", "1"))
    if method == "occlusion":
        return
    assert document["score"] == pytest.approx(first["score"] - second["score"], abs=1e-3)
    if method != "gradcam":  # which shows only evidence for the label
        difference = np.subtract(first["cells"], second["cells"])
        np.testing.assert_allclose(document["cells"], difference, atol=1e-3)


def test_curves_and_flip(explaining: TestClient) -> None:
    document = explain(explaining, "convnet", "?method=occlusion&curves=true&flip=true")
    curves, flip = document["curves"], document["flip"]
    assert curves["fraction"][0] == 0
    assert curves["fraction"][-1] == 1
    assert curves["deletion"][0] == curves["insertion"][-1] == document["prediction"]["probability"]
    assert curves["deletion"][-1] == curves["insertion"][0]
    assert flip["found"]
    assert flip["label"] != "7"
    assert flip["fraction"] == pytest.approx(len(flip["cells"]) / flip["grid"] ** 2, rel=1e-5)


def test_flip_changes_the_label_and_no_cell_is_superfluous(explaining: TestClient) -> None:
    pixels = np.array(Image.open(io.BytesIO(digit())).convert("L"))
    flip = explain(explaining, "convnet", "?method=occlusion&flip=true")["flip"]

    def label_without(cells: list[list[int]]) -> str:
        erased = pixels.copy()
        rows = np.arange(28) * flip["grid"] // 28
        for row, column in cells:
            erased[np.ix_(rows == row, rows == column)] = 0
        response = explaining.post("/models/convnet/classify", content=encoded(erased), headers=PNG)
        return str(response.json()["predictions"][0]["label"])

    assert label_without(flip["cells"]) == flip["label"] != "7"
    for cell in flip["cells"]:
        assert label_without([each for each in flip["cells"] if each != cell]) == "7"


def test_model_without_inspect_graph_is_explained_by_occlusion(explaining: TestClient) -> None:
    document = explain(explaining, f"convnet/versions/{plain()}")
    assert (document["method"], document["layer"]) == ("occlusion", None)
    response = explaining.post(
        f"/models/convnet/versions/{plain()}/explain?method=gradcam", content=digit(), headers=PNG
    )
    assert response.status_code == 400
    assert "gradcam is not offered for convnet" in response.json()["error"]


def test_network_without_convolutions_says_so(explaining: TestClient) -> None:
    document = explain(explaining, "shades", content=image(level(5)))
    assert document["method"] == "occlusion"


def test_same_request_has_the_same_bytes(explaining: TestClient) -> None:
    for query in ("?curves=true&flip=true", "?format=png", "?format=npz", "?method=occlusion"):
        answers = [
            explaining.post(f"/models/convnet/explain{query}", content=digit(), headers=PNG) for _ in range(2)
        ]
        assert answers[0].content == answers[1].content
        assert answers[0].headers["etag"] == answers[1].headers["etag"]


def test_pictures_and_archives(explaining: TestClient) -> None:
    response = explaining.post("/models/convnet/explain?format=png", content=digit(), headers=PNG)
    assert response.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(response.content)).size == (448, 448)
    response = explaining.post("/models/convnet/explain?format=npz", content=digit(), headers=PNG)
    with np.load(io.BytesIO(response.content)) as arrays:
        assert arrays["input"].shape == (28, 28, 1)
        assert arrays["map"].shape == (28, 28)
        assert arrays["cells"].shape == (3, 3)


def test_input_is_what_the_network_gets(explaining: TestClient) -> None:
    light = 255 - draw_digits(1, seed=5)[0][3]
    query = "?method=maps&layer=input"
    document = explain(explaining, "convnet", query, encoded(light))
    assert np.array(document["maps"][0]).tolist() == (255 - light.astype(int)).tolist()
    answer = explaining.post(
        f"/models/convnet/explain{query}&format=png", content=encoded(light), headers=PNG
    )
    assert np.array(Image.open(io.BytesIO(answer.content))).tolist() == (255 - light).tolist()


def test_filters_return_their_maps(explaining: TestClient) -> None:
    response = explaining.post("/models/filters/explain?method=maps&format=png", content=digit(), headers=PNG)
    assert response.status_code == 200
    assert Image.open(io.BytesIO(response.content)).format == "PNG"
    document = explain(explaining, "filters", "?method=maps&map=1")
    assert document["shape"] == [1, 28, 28]
    response = explaining.post("/models/filters/explain", content=digit(), headers=PNG)
    assert "request them with method=maps" in response.json()["error"]


def test_layers(explaining: TestClient) -> None:
    document = explaining.get("/models/convnet/layers").json()
    assert document["parameters"] == sum(each["parameters"] for each in document["layers"]) == 104_202
    assert document["layers"][0] == {
        "name": "conv1",
        "kind": "convolution",
        "operator": "Conv",
        "column": None,
        "inputs": ["input"],
        "shape": [32, 26, 26],
        "parameters": 320,
        "multiply_adds": 26 * 26 * 32 * 9,
        "kernel": [3, 3],
        "stride": [1, 1],
        "padding": [0, 0, 0, 0],
        "dilation": [1, 1],
        "groups": 1,
        "field": {"size": [3, 3], "step": [1, 1], "start": [0, 0]},
    }
    fields = {each["name"]: each["field"] for each in document["layers"]}
    assert fields["relu3"] == {"size": [18, 18], "step": [4, 4], "start": [0, 0]}
    assert fields["dense1"] is None
    assert document["best"] == "contribution"


def test_layers_of_a_version_without_inspect_graph(explaining: TestClient) -> None:
    document = explaining.get(f"/models/convnet/versions/{plain()}/layers").json()
    assert document["layers"] == []
    assert "publish it again with convserve-export inspect" in document["reason"]
    assert [each["name"] for each in document["methods"] if each["offered"]] == ["occlusion"]


def test_layers_need_not_be_sent_again(explaining: TestClient) -> None:
    etag = explaining.get("/models/convnet/layers").headers["etag"]
    response = explaining.get("/models/convnet/layers", headers={"If-None-Match": etag})
    assert (response.status_code, response.content) == (304, b"")


def test_activations_follow_from_the_weights(explaining: TestClient) -> None:
    weights = explaining.get("/models/convnet/layers?layer=conv1").json()
    kernels, bias = np.array(weights["weights"]), np.array(weights["bias"])
    pixels = np.array(explain(explaining, "convnet", "?method=maps&layer=input")["maps"][0]) / 255
    maps = np.array(explain(explaining, "convnet", "?method=maps&layer=conv1")["maps"])
    patches = np.lib.stride_tricks.sliding_window_view(pixels, (3, 3))
    expected = np.einsum("yxij,kij->kyx", patches, kernels[:, 0]) + bias[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(maps, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?method=lime", "unknown method 'lime'; known methods: contribution, "),
        ("?colour=red", "unknown query parameter 'colour'"),
        ("?layer=conv9", "contribution has no layer 'conv9' here; layers: relu3"),
        ("?method=maps&layer=conv9", "convnet has no layer 'conv9' here; layers: input, conv1"),
        ("?method=maps&map=99", "conv1 has no map 99; it has 32"),
        ("?label=ten", "convnet has no label 'ten'"),
        ("?versus=7", "versus is the label to explain itself, '7'"),
        ("?grid=1", "grid must be an integer from 2 to 32, not '1'"),
        ("?curves=yes", "curves must be true or false, not 'yes'"),
        ("?format=svg", "format must be one of json, png, npz, not 'svg'"),
        ("?method=" + "a" * 2000, "the query has more than 2,000 characters"),
    ],
)
def test_invalid_parameters(explaining: TestClient, query: str, sentence: str) -> None:
    response = explaining.post(f"/models/convnet/explain{query}", content=digit(), headers=PNG)
    assert response.status_code == 400
    assert response.json()["error"].startswith(sentence)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "the body is empty"), (b"no image", "not an image in a supported format")],
)
def test_invalid_bodies_get_the_sentences_of_classify(
    explaining: TestClient, content: bytes, sentence: str
) -> None:
    for path in ("classify", "explain"):
        response = explaining.post(f"/models/convnet/{path}", content=content, headers=PNG)
        assert response.status_code == 400
        assert response.json()["error"].startswith(sentence)


def test_two_images_are_refused(explaining: TestClient) -> None:
    files = [("images", ("one.png", digit())), ("images", ("two.png", digit()))]
    response = explaining.post("/models/convnet/explain", files=files)
    assert response.status_code == 400
    assert response.json()["error"] == "the request has 2 images; one is explained at a time"


def test_large_maps_in_json_are_refused(inspected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.protocols.native.explain_rest.MAX_NUMBERS", 1000)
    with TestClient(build(Settings(models=inspected)).app) as client:
        response = client.post(
            "/models/convnet/explain?method=maps&layer=conv1", content=digit(), headers=PNG
        )
        assert response.status_code == 413
        response = client.get("/models/convnet/layers?layer=conv2")
        assert response.status_code == 413


def test_memory_of_inspect_graphs_is_limited(inspected: Path) -> None:
    with TestClient(build(Settings(models=inspected, explain_bytes=1000)).app) as client:
        response = client.post("/models/convnet/explain", content=digit(), headers=PNG)
        assert response.status_code == 413
        assert "CONVSERVE_EXPLAIN_BYTES" in response.json()["error"]


def test_no_explanations_without_the_page(inspected: Path) -> None:
    with TestClient(build(Settings(models=inspected, ui=False)).app) as client:
        assert client.post("/models/convnet/explain", content=digit(), headers=PNG).status_code == 404
        assert client.get("/models/convnet/layers").status_code == 404


def test_explanations_count_neither_as_images_nor_as_predictions(inspected: Path) -> None:
    with TestClient(build(Settings(models=inspected)).app) as client:
        explain(client, "convnet", "?method=occlusion&curves=true")
        statistics = client.get("/v2/models/convnet/stats").json()["model_stats"][0]
        page = client.get("/metrics").text
    assert statistics["inference_count"] == 0
    assert statistics["inference_stats"]["fail"]["count"] == 0
    assert re.search(r'convserve_requests_total{code="200",model="convnet",protocol="explain",.*} 1.0', page)
    predictions = [line for line in page.splitlines() if line.startswith("convserve_predictions_total{")]
    assert predictions
    assert all(line.endswith(" 0.0") for line in predictions)


def test_explanations_in_progress_are_limited(inspected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.explain.explainer.MAX_OF_CLIENT", 0)
    with TestClient(build(Settings(models=inspected)).app) as client:
        response = client.post("/models/convnet/explain", content=digit(), headers=PNG)
    assert response.status_code == 429
    assert response.headers["retry-after"] == "1"
    assert response.json()["error"].startswith("too many explanations are waiting")
