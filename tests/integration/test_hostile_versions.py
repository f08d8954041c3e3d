"""Versions made to block, crash or fill the memory of the server are not served, and the others are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.http.client import get, post
from tests.support.models.gray_classifier import image, level, publish_shades
from tests.support.models.hostile_versions import ATTACKS
from tests.support.server.procfs import memory, needs_procfs
from tests.support.server.server_process import ServerProcess
from tests.support.server.watched import MAX_GROWTH

# `loops` takes as long.
ENGINE_TIMEOUT = ("--engine-timeout-s", "1")


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves a valid model beside every hostile one."""
    models = tmp_path_factory.mktemp("attacked")
    publish_shades(models)
    for name, (attack, _) in ATTACKS.items():
        attack(publish_shades(models, name))
    with ServerProcess(models, *ENGINE_TIMEOUT) as server:
        yield server


@pytest.mark.parametrize(("name", "reason"), [(name, reason) for name, (_, reason) in ATTACKS.items()])
def test_hostile_version_is_not_served_with_a_reason(attacked: ServerProcess, name: str, reason: str) -> None:
    line = attacked.stderr.wait_for(rf"^.* ERROR .*{name} version 1 is not served: .*$")[0]
    assert reason in line


def test_valid_model_is_served(attacked: ServerProcess) -> None:
    ready = get(f"{attacked.url}/readyz")
    assert (ready.status, [model["name"] for model in ready.json["models"]]) == (200, ["shades"])
    response = post(f"{attacked.url}/models/shades/classify", image(level(3)))
    assert response.json["predictions"][0]["label"] == "shade 3"


@needs_procfs
@pytest.mark.measures
def test_hostile_versions_take_no_memory(attacked: ServerProcess, server: ServerProcess) -> None:
    """Compares the largest memory that a server ever had with that of a server of the valid model only."""
    growth = memory(attacked.pid, "VmHWM") - memory(server.pid, "VmHWM")
    assert growth < MAX_GROWTH
