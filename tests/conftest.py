"""Fixtures for all tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings

from service.asgi.app import Service, build
from service.config.settings import Settings
from tests.support.models.gray_classifier import publish_shades

# The export command sets this too, before TensorFlow is imported; otherwise results differ in the last bits.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# The time that an example takes depends more on the machine's load than on the test.
settings.register_profile("convserve", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("convserve")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the developer's settings from changing tests."""
    for name in os.environ:
        if name.startswith("CONVSERVE_") and name != "CONVSERVE_TEST_DATA":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with `shades`, version 1; tests must not write to it."""
    models = tmp_path_factory.mktemp("shades")
    publish_shades(models)
    return models


@pytest.fixture
def repository(shades: Path, tmp_path: Path) -> Path:
    """A copy of `shades` for one test; copying is faster than publishing, which syncs each file."""
    return shutil.copytree(shades, tmp_path / "models")


@pytest.fixture
def service(repository: Path) -> Service:
    """The application with `shades` in its repository, before its lifespan begins."""
    return build(Settings(models=repository))


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    """A client of `service`, whose lifespan runs around the test."""
    with TestClient(service.app) as client:
        yield client


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; skips the test if there is none."""
    folder = Path(os.environ.get("CONVSERVE_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set CONVSERVE_TEST_DATA to its folder")
    return folder
