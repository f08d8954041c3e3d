"""The middleware around the application, which is off by default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.asgi.app import build, create_app
from service.asgi.middleware.stack import build_middleware
from service.config.settings import Settings
from service.security.api_keys import ApiKeyStore
from service.security.authorization import Authorizer
from service.security.rate_limiter import RateLimiter
from service.telemetry.rejections import RejectionCounters

KEY = "the-only-key-there-is"
PAGE = {"Origin": "https://page.example"}
PREFLIGHT = {
    **PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization",
}


def wrapped(models: Path, keys: str | None = None, **given: Any) -> TestClient:
    settings = Settings(models=models, **given)
    service = build(settings)
    app = service.app
    rejections = RejectionCounters(service.telemetry.connection_rejections)
    authorizer = None if keys is None else Authorizer(ApiKeyStore(keys, None), RateLimiter(None), rejections)
    return TestClient(build_middleware(app, settings, authorizer))


def test_no_middleware_by_default() -> None:
    settings = Settings()
    app = create_app(settings)
    assert build_middleware(app, settings, None) is app


def test_cors_is_off_by_default(repository: Path) -> None:
    with wrapped(repository) as client:
        assert "access-control-allow-origin" not in client.get("/models", headers=PAGE).headers
        assert client.options("/classify", headers=PREFLIGHT).status_code == 405


@pytest.mark.parametrize(
    "origins", ["https://page.example", "https://other.example, https://page.example", "*"]
)
def test_cors_allows_the_configured_origins(repository: Path, origins: str) -> None:
    with wrapped(repository, f"page infer {KEY}", cors_origins=origins) as client:
        preflight = client.options("/classify", headers=PREFLIGHT)
        assert preflight.status_code == 200
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert preflight.headers["access-control-allow-headers"] == "authorization"
        rejected = client.get("/models", headers=PAGE)
        assert rejected.status_code == 401
        response = client.get("/models", headers={**PAGE, "X-API-Key": KEY})
        assert response.status_code == 200
        for each in (preflight, rejected, response):
            assert each.headers["access-control-allow-origin"] in ("*", "https://page.example")


def test_cors_rejects_other_origins(repository: Path) -> None:
    with wrapped(repository, cors_origins="https://other.example") as client:
        assert client.options("/classify", headers=PREFLIGHT).status_code == 400
        assert "access-control-allow-origin" not in client.get("/models", headers=PAGE).headers
