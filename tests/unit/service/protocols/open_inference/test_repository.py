from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.asgi.app import create_app
from service.config.settings import Settings
from tests.support.http.errors import assert_error
from tests.support.models.broken_versions import change_the_graph
from tests.support.models.gray_classifier import configure, image, level, publish_shades

LOAD, UNLOAD = "/v2/repository/models/shades/load", "/v2/repository/models/shades/unload"
CLASSIFY = "/models/shades/classify"


def served(client: TestClient, path: str = CLASSIFY) -> str:
    response = client.post(path, content=image(level(7)))
    return str(response.json()["version"]) if response.status_code == 200 else str(response.status_code)


def client_of(repository: Path, **settings: object) -> TestClient:
    return TestClient(create_app(Settings(models=repository, poll_s=0, **settings)))  # type: ignore[arg-type]


def test_load_serves_a_new_version(repository: Path) -> None:
    with client_of(repository) as client:
        publish_shades(repository)
        assert served(client) == "1"
        response = client.post(LOAD)
        assert (response.status_code, response.json()) == (200, {"name": "shades", "load": True})
        assert served(client) == "2"


def test_unloaded_model_is_served_again_only_after_a_load(repository: Path) -> None:
    with client_of(repository) as client:
        for _ in range(2):
            response = client.post(UNLOAD, json={"parameters": {"unload_dependents": True}})
            assert (response.status_code, response.json()) == (200, {"name": "shades", "unload": True})
            assert served(client) == "404"
        index = client.post("/v2/repository/index", json={}).json()
        assert ("", "UNAVAILABLE", "it was unloaded by a call") in [
            (row["version"], row["state"], row["reason"]) for row in index
        ]
        assert client.get("/readyz").status_code == 503
        assert client.post(LOAD).status_code == 200
        assert served(client) == "1"


def test_new_model_is_loaded(repository: Path) -> None:
    with client_of(repository) as client:
        publish_shades(repository, "other")
        assert client.post("/v2/repository/models/other/load").status_code == 200
        assert served(client, "/models/other/classify") == "1"


def test_two_failing_loads_have_the_same_reason_and_change_nothing(repository: Path) -> None:
    with client_of(repository) as client:
        broken = publish_shades(repository)
        whole = (broken / "model.onnx").read_bytes()
        change_the_graph(broken)
        reasons = [client.post(LOAD) for _ in range(2)]
        assert {response.status_code for response in reasons} == {500}
        assert reasons[0].json() == reasons[1].json()
        assert "shades version 2 is not served: model.onnx is not the file" in reasons[0].json()["error"]
        assert 'convserve_model_failures{model="shades"} 1.0' in client.get("/metrics").text
        assert served(client) == "1"
        (broken / "model.onnx").write_bytes(whole)
        assert client.post(LOAD).status_code == 200
        assert served(client) == "2"


def test_invalid_configuration_keeps_the_former_one_and_says_why(repository: Path) -> None:
    publish_shades(repository)
    configure(repository, "versions = [1]")
    with client_of(repository) as client:
        configure(repository, "versions = 2")
        assert_error(client.post(LOAD), 500, "config.toml is not valid: versions")
        assert served(client) == "1"
        [problem] = client.get("/readyz").json()["problems"]
        assert problem["name"] == "shades"
        assert "the former configuration still applies" in problem["reason"]
        assert 'convserve_model_problems{model="shades"} 1.0' in client.get("/metrics").text
        configure(repository, "versions = [2]")
        assert client.post(LOAD).status_code == 200
        assert served(client) == "2"
        assert client.get("/readyz").json()["problems"] == []
        assert 'convserve_model_problems{model="shades"} 0.0' in client.get("/metrics").text


def test_model_whose_configuration_is_invalid_at_the_start_is_not_served(repository: Path) -> None:
    publish_shades(repository, "other")
    configure(repository, "versions = 2")
    with client_of(repository) as client:
        assert served(client, "/models/other/classify") == "1"
        assert_error(client.post(CLASSIFY), 503, "config.toml is not valid: versions")


def test_label_moves_when_its_version_is_served(repository: Path) -> None:
    publish_shades(repository)
    configure(repository, "[labels]\nstable = 1\ncanary = 2")
    paths = {label: f"/models/shades/labels/{label}/classify" for label in ("stable", "canary", "next")}
    with client_of(repository) as client:
        assert [served(client), *(served(client, path) for path in paths.values())] == ["1", "1", "2", "404"]
        change_the_graph(publish_shades(repository))
        configure(repository, "[labels]\nstable = 2\ncanary = 3\nnext = 3")
        assert client.post(LOAD).status_code == 500
        assert [served(client), *(served(client, path) for path in paths.values())] == ["2", "2", "2", "503"]
        pixels = {"name": "pixels", "shape": [1, 8, 8, 1], "datatype": "UINT8", "data": [0] * 64}
        for path in ("versions/canary", "versions/2"):
            assert (
                client.post(f"/v2/models/shades/{path}/infer", json={"inputs": [pixels]}).json()[
                    "model_version"
                ]
                == "2"
            )
        assert client.get("/v1/models/shades/labels/canary/metadata").json()["model_spec"]["version"] == "2"
        assert client.post("/predictions/shades/canary", content=image(0)).status_code == 200


def test_version_labelled_stable_that_cannot_be_loaded_has_no_stand_in(repository: Path) -> None:
    publish_shades(repository)
    change_the_graph(publish_shades(repository))
    configure(repository, "[labels]\nstable = 3\ncanary = 2")
    with client_of(repository) as client:
        assert_error(client.post(CLASSIFY), 503, "shades version 3 is not served: model.onnx")
        assert served(client, "/models/shades/labels/canary/classify") == "2"


@pytest.mark.parametrize("parameters", [{"config": "{}"}, {"file:1/model.onnx": "AA=="}, {"unknown": 1}])
def test_models_are_not_uploaded(repository: Path, parameters: dict[str, object]) -> None:
    with client_of(repository) as client:
        (name,) = parameters
        assert_error(
            client.post(LOAD, json={"parameters": parameters}), 400, f"the parameter '{name}' is not"
        )
        assert_error(client.post(LOAD, content=b"[]"), 400, "the body")
        assert client.get(LOAD).status_code == 405


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "%00", "a%2fb", ".hidden", "%0a", "nothing", "x" * 300, "*"]
)
def test_names_that_are_no_models(repository: Path, name: str) -> None:
    with client_of(repository) as client:
        for action in ("load", "unload"):
            response = client.post(f"/v2/repository/models/{name}/{action}")
            assert response.status_code == 404, response.text


def test_others_may_not_change_models_without_a_key(repository: Path) -> None:
    with client_of(repository, host="0.0.0.0") as client:
        for path in (LOAD, UNLOAD):
            assert_error(client.post(path), 403, "CONVSERVE_API_KEYS or CONVSERVE_API_KEYS_FILE")
        assert served(client) == "1"


def test_page_of_another_site_may_not_change_models(repository: Path) -> None:
    with client_of(repository) as client:
        assert_error(client.post(UNLOAD, headers={"Origin": "http://elsewhere"}), 403, "pages of other sites")
        assert client.post(UNLOAD, headers={"Origin": "http://testserver"}).status_code == 200


def test_model_whose_folder_is_gone_stays(repository: Path) -> None:
    with client_of(repository) as client:
        shutil.rmtree(repository / "shades")
        assert_error(client.post(LOAD), 500, "its folder has vanished; what is loaded is still served")
        assert served(client) == "1"
        assert client.get("/models/shades").json()["problem"].startswith("its folder has vanished")
