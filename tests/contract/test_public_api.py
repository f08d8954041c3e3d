"""The public interface of the package has three names, which are imported lazily."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import service

ROOT = Path(__file__).resolve().parent.parent.parent


def python(code: str) -> str:
    """Run `code` in a new interpreter and return its output."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_import_loads_no_dependency() -> None:
    code = "import sys, service; print({'fastapi', 'starlette', 'pydantic', 'numpy'} & sys.modules.keys())"
    assert python(code) == "set()"


def test_application_and_settings_are_imported_by_name() -> None:
    code = (
        "from service import Settings, create_app; "
        "from service.asgi import app; from service.config import settings; "
        "print(create_app is app.create_app, Settings is settings.Settings)"
    )
    assert python(code) == "True True"


def test_application_is_created_from_settings(repository: Path) -> None:
    from fastapi.testclient import TestClient

    app = service.create_app(service.Settings(models=repository))
    with TestClient(app) as client:
        assert client.get("/readyz").status_code == 200


def test_public_names_are_listed() -> None:
    assert service.__all__ == ["Settings", "__version__", "create_app"]
    assert set(service.__all__) <= set(dir(service))


def test_other_names_are_rejected() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Server'"):
        service.Server  # noqa: B018
