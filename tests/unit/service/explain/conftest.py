"""A server's application with the shipped models, convnet and lenet5 with `inspect.onnx`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.asgi.app import build
from service.config.settings import Settings
from tests.support.inspection.inspected import publish_inspected
from tests.support.models.gray_classifier import publish_shades
from tests.support.models.shipped import highest_version


@pytest.fixture(scope="session")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository; tests must not write to it."""
    models = tmp_path_factory.mktemp("inspected")
    publish_inspected(models, "convnet", "lenet5")
    (models / "convnet" / "config.toml").write_text('versions = "all"\n')
    publish_shades(models)
    shutil.copytree(highest_version("filters"), models / "filters" / "1")
    return models


@pytest.fixture(scope="session")
def explaining(inspected: Path) -> Iterator[TestClient]:
    with TestClient(build(Settings(models=inspected)).app) as client:
        yield client
