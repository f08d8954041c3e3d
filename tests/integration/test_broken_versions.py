"""Broken versions are reported everywhere and do not affect other models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.http.client import get, post
from tests.support.models.broken_versions import BREAKAGES, change_the_graph
from tests.support.models.gray_classifier import image, level, publish_shades
from tests.support.server.server_process import ServerProcess

each_breakage = pytest.mark.parametrize(("name", "word"), [(n, word) for n, (_, word) in BREAKAGES.items()])


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves two valid models, one of them with a broken higher version, and every broken model."""
    models = tmp_path_factory.mktemp("mixed")
    publish_shades(models)
    publish_shades(models, "whole")
    change_the_graph(publish_shades(models, "whole"))
    for name, (breaks, _) in BREAKAGES.items():
        breaks(publish_shades(models, name))
    with ServerProcess(models) as server:
        yield server


@each_breakage
def test_banner_and_the_log_name_each_broken_version(mixed: ServerProcess, name: str, word: str) -> None:
    assert word in mixed.stdout.wait_for(rf"^  {name} version 1: NOT SERVED: .*$")[0]
    assert word in mixed.stderr.wait_for(rf"^.* ERROR .*{name} version 1 is not served: .*$")[0]


@pytest.mark.parametrize("path", ["/readyz", "/models"])
def test_admin_endpoints_list_each_broken_version(mixed: ServerProcess, path: str) -> None:
    failed = {(failure["name"], failure["version"]) for failure in get(mixed.url + path).json["failed"]}
    assert failed == {(name, "1") for name in BREAKAGES} | {("whole", "2")}


@each_breakage
def test_model_without_a_valid_version_responds_503(mixed: ServerProcess, name: str, word: str) -> None:
    (failure,) = get(f"{mixed.url}/models/{name}").json["failed"]
    assert word in failure["reason"]
    response = post(f"{mixed.url}/models/{name}/classify", image(level(3)))
    assert response.status == 503
    assert word in response.json["error"]


def test_valid_models_are_ready(mixed: ServerProcess) -> None:
    ready = get(f"{mixed.url}/readyz")
    assert ready.status == 200
    assert [(m["name"], m["version"]) for m in ready.json["models"]] == [("shades", "1"), ("whole", "1")]
    response = post(f"{mixed.url}/models/shades/classify", image(level(3)))
    assert response.json["predictions"][0]["label"] == "shade 3"


def test_next_lower_version_replaces_a_broken_one(mixed: ServerProcess) -> None:
    response = post(f"{mixed.url}/models/whole/classify", image(level(3)))
    assert response.json["version"] == "1"
    response = post(f"{mixed.url}/models/whole/versions/2/classify", image(level(3)))
    assert response.status == 503
