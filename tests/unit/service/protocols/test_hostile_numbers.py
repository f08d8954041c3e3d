"""Numbers and names that are too long to print get an error of the client, and a short one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.asgi.app import create_app
from service.config.settings import Settings
from service.protocols.open_inference import infer_request
from tests.support.http.errors import assert_error
from tests.support.models.filter_model import publish_filters
from tests.support.models.gray_classifier import image, level

JSON = {"Content-Type": "application/json"}
LONG = 10**4200
NAME = "n" * 1_000_000


def tensor(**changes: Any) -> dict[str, Any]:
    given = {"name": "pixels", "shape": [1, 8, 8, 1], "datatype": "UINT8", "data": [1] * 64}
    return {name: value for name, value in {**given, **changes}.items() if value is not None}


def infer(client: TestClient, document: dict[str, Any]) -> Any:
    response = client.post("/v2/models/shades/infer", content=json.dumps(document), headers=JSON)
    assert len(response.text) < 1000
    return response


@pytest.mark.parametrize("number", [LONG, -LONG, 2**63, -(2**63) - 1, 2**64])
@pytest.mark.parametrize("position", [0, 1])
def test_dimension(client: TestClient, number: int, position: int) -> None:
    shape = [1, 8, 8, 1]
    shape[position] = number
    response = infer(client, {"inputs": [tensor(shape=shape)]})
    assert_error(response, 400, rf"inputs\.0\.shape\.{position}: ")


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), -1, 0])
def test_dimensions_that_the_model_does_not_have(client: TestClient, number: int) -> None:
    for shape in ([number, 8, 8, 1], [1, number, number, number], [number] * 64):
        assert infer(client, {"inputs": [tensor(shape=shape)]}).status_code in (400, 413)


@pytest.mark.parametrize("parameter", ["timeout", "priority"])
def test_request_parameters(client: TestClient, parameter: str) -> None:
    for value in (LONG, -LONG, 1e300, -1, NAME):
        response = infer(client, {"parameters": {parameter: value}, "inputs": [tensor()]})
        assert_error(response, 400, f"the parameter '{parameter}' must be an integer")
    response = infer(client, {"parameters": {"timeout": 2**64 - 1}, "inputs": [tensor()]})
    assert response.status_code == 200


def test_output_parameters(client: TestClient) -> None:
    for value in (LONG, -LONG, 0, NAME, [LONG]):
        output = {"name": "scores", "parameters": {"classification": value}}
        assert_error(infer(client, {"inputs": [tensor()], "outputs": [output]}), 400, "'classification' must")
    output = {"name": "scores", "parameters": {"binary_data": LONG}}
    assert_error(infer(client, {"inputs": [tensor()], "outputs": [output]}), 400, "must be true or false")


def test_sizes_of_binary_data(client: TestClient) -> None:
    for value in (LONG, -LONG, 2**63, NAME):
        parameters = {"binary_data_size": value}
        assert_error(infer(client, {"inputs": [tensor(data=None, parameters=parameters)]}), 400, "must be an")
    for value in (str(LONG), "-1", "1_0", "²", "9" * 19):
        headers: Any = {**JSON, "Inference-Header-Content-Length": value.encode("latin-1")}
        response = client.post("/v2/models/shades/infer", content=b"{}", headers=headers)
        assert_error(response, 400, "Inference-Header-Content-Length must be a number")
        assert len(response.text) < 300


@pytest.mark.parametrize(
    "document",
    [
        {"inputs": [tensor(name=NAME)]},
        {"inputs": [tensor(datatype=NAME)]},
        {"inputs": [tensor()], "id": NAME},
        {"inputs": [tensor()], "outputs": [{"name": NAME}]},
        {"inputs": [tensor()], "parameters": {f"triton_{NAME}": 1}},
        {"inputs": [tensor()], "parameters": {NAME: []}},
        {"inputs": [tensor(data=None, parameters={"binary_data_size": 1}, name=NAME)]},
    ],
    ids=["input", "datatype", "id", "output", "reserved", "parameter", "binary"],
)
def test_long_names(client: TestClient, document: dict[str, Any]) -> None:
    assert infer(client, document).status_code == 400


def test_classification_of_too_many_scores(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infer_request, "MAX_CLASSIFICATION_ELEMENTS", 9)
    output = {"name": "probabilities", "parameters": {"classification": 1}}
    response = infer(client, {"inputs": [tensor()], "outputs": [output]})
    assert_error(response, 400, "at most 9 scores; the request has 10: .* as binary data")


@pytest.mark.parametrize("value", [str(LONG), "1" * 41, "1_000_", "²", "nan", "inf", "1e400", "-1", "0"])
def test_header_of_the_deadline(client: TestClient, value: str) -> None:
    headers: Any = {"Content-Type": "image/png", "X-Request-Timeout-Ms": value.encode("latin-1")}
    response = client.post("/classify", content=image(level(7)), headers=headers)
    assert_error(response, 400, "X-Request-Timeout-Ms must be a positive number")
    assert len(response.text) < 300


@pytest.mark.parametrize("value", ["1e300", "9" * 40, "1e308"])
def test_deadline_in_the_far_future(client: TestClient, value: str) -> None:
    headers = {"Content-Type": "image/png", "X-Request-Timeout-Ms": value}
    assert client.post("/classify", content=image(level(7)), headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/shades:predict", {"signature_name": NAME, "instances": [1]}),
        ("/v1/models/shades:predict", {"instances": [{NAME: 1}]}),
        ("/v1/models/shades:predict", {"instances": [LONG]}),
        ("/v1/models/shades:predict", {"instances": [{"b64": "!" * 1000}]}),
        ("/v1/models/shades:classify", {"examples": [{NAME: LONG}]}),
        ("/classify", {"images": [], NAME: 1}),
        ("/classify", {"images": [{"b64": "", NAME: 1}]}),
        ("/classify", {"images": [{"b64": "", "filename": NAME}]}),
        ("/v2/logging", {NAME[:10_000]: 1}),
    ],
)
def test_long_names_in_other_dialects(client: TestClient, path: str, body: dict[str, Any]) -> None:
    response = client.post(path, content=json.dumps(body), headers=JSON)
    assert response.status_code == 400
    assert len(response.text) < 1000


@pytest.mark.parametrize("version", ["1" * 5000, "\u0661", "\u00b9", "01", "+1", "1 ", "-1"])
def test_versions_in_paths(client: TestClient, version: str) -> None:
    for path in (
        f"/models/shades/versions/{version}/classify",
        f"/v2/models/shades/versions/{version}/infer",
        f"/v1/models/shades/versions/{version}:predict",
        f"/predictions/shades/{version}",
        f"/models/{version}/classify",
        f"/v1/models/shades/labels/{version}:predict",
    ):
        response = client.post(path)
        assert response.status_code == 404, path
        assert len(response.text) < 1000


@pytest.mark.parametrize(
    "query", ["top_k=" + "9" * 900, "top_k=%D9%A1", "a&" * 400, "top_k=0", "top_k=1" + "&" * 5000]
)
def test_query(client: TestClient, query: str) -> None:
    response = client.post(
        f"/classify?{query}", content=image(level(7)), headers={"Content-Type": "image/png"}
    )
    assert response.status_code == 400
    assert len(response.text) < 300


def test_huge_dimensions_of_a_model_of_any_size(tmp_path: Path) -> None:
    publish_filters(tmp_path)
    with TestClient(create_app(Settings(models=tmp_path))) as client:
        name = client.get("/v2/models").json()["models"][0]
        given = client.get(f"/v2/models/{name}").json()["inputs"][0]
        for shape in (
            [1, LONG, LONG, 1],
            [1, 2**63 - 1, 2**63 - 1, 1],
            [-(2**63), 5, 5, 1],
            [2**62, 2**62, 1, 1],
        ):
            body = json.dumps({"inputs": [{**given, "shape": shape, "data": [1]}]})
            response = client.post(f"/v2/models/{name}/infer", content=body, headers=JSON)
            assert response.status_code in (400, 413), response.text
            assert len(response.text) < 1000
