"""What every test may ask for."""

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

# As the command has it before TensorFlow is imported: the same arithmetic here as there, bit for bit.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# How fast examples are made says more of the machine and its other work than of a test.
settings.register_profile("convserve", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("convserve")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings change no test."""
    for name in os.environ:
        if name.startswith("CONVSERVE_") and name != "CONVSERVE_TEST_DATA":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that holds `shades`, version 1; not to be written to."""
    models = tmp_path_factory.mktemp("shades")
    publish_shades(models)
    return models


@pytest.fixture
def repository(shades: Path, tmp_path: Path) -> Path:
    """The same for one test alone. A copy: publishing waits for the disk, file by file."""
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
    """The folder of real data sets, where there is one."""
    folder = Path(os.environ.get("CONVSERVE_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; name its folder in CONVSERVE_TEST_DATA")
    return folder
