"""With API keys, every route needs one, except the probes and the files that come with the server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.routing import Route

from service.asgi.app import build, create_app
from service.asgi.middleware.stack import build_middleware
from service.config.settings import Settings
from service.security.api_keys import ApiKeyStore
from service.security.authorization import PROBES, Authorizer
from service.security.rate_limiter import RateLimiter
from service.telemetry.rejections import RejectionCounters
from tests.support.http.errors import assert_error
from tests.support.models.gray_classifier import image, level, publish_shades

INFER, ADMIN, METRICS, SLOW = (f"key-of-{name}-1234567" for name in ("infer", "admin", "metrics", "slow"))
KEYS = f"app infer {INFER}; ops admin {ADMIN}; scraper metrics {METRICS}; slow infer {SLOW} 0.001"
PATH_PARAMETERS = {
    "name": "another",  # a request to unload the served model would have an effect
    "version": "1",
    "label": "stable",
    "repository": "main",
    "rest": "status",
}
# The page, the description of the API, and files of neither.
FILES = {"/ui", "/ui/x/x", "/docs", "/docs/x"}
UNKNOWN_PATHS = [
    "/nowhere",
    "/livez/",
    "//livez",
    "/LIVEZ",
    "/livez/..",
    "/v2/health",
    "/metrics/",
    "/%6Detrics",
    "/ui/",
    "/ui/x",
    "/docs/x/y",
    "/\xe9",
]


def routes() -> list[tuple[str, str]]:
    """Every method and path of the application, with example path parameters."""
    found = []
    for route in create_app(Settings()).routes:
        assert isinstance(route, Route), "another kind of route needs another look at who may ask it"
        path = re.sub(r"{(\w+)(:\w+)?}", lambda match: PATH_PARAMETERS.get(match[1], "x"), route.path)
        found += [(method, path) for method in sorted(route.methods or ())]
    return found


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    models = tmp_path_factory.mktemp("models")
    publish_shades(models)
    settings = Settings(models=models)
    service = build(settings)
    gate = Authorizer(
        ApiKeyStore(KEYS, None), RateLimiter(None), RejectionCounters(service.telemetry.connection_rejections)
    )
    with TestClient(build_middleware(service.app, settings, gate)) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(("method", "path"), [*routes(), *product(["GET", "POST", "OPTIONS"], UNKNOWN_PATHS)])
def test_only_probes_and_files_need_no_key(guarded: TestClient, method: str, path: str) -> None:
    response = guarded.request(method, path)
    if path in PROBES or (path in FILES and method == "GET"):
        assert response.status_code != 401
    else:
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="convserve"'
        assert method == "HEAD" or list(response.json()) == ["error"]


@pytest.mark.parametrize(("method", "path"), routes())
def test_each_route_accepts_exactly_one_scope(guarded: TestClient, method: str, path: str) -> None:
    statuses = [
        guarded.request(method, path, headers=bearer(key)).status_code for key in (INFER, ADMIN, METRICS)
    ]
    assert 401 not in statuses
    assert path in PROBES | FILES or statuses.count(403) == 2


def test_probes_succeed_without_a_key(guarded: TestClient) -> None:
    assert {guarded.get(path).status_code for path in PROBES} == {200}


@pytest.mark.parametrize(
    "headers",
    [
        bearer(INFER),
        {"Authorization": f"bearer  {INFER} "},
        {"X-API-Key": INFER},
        {"Authorization": "Basic dXNlcjpwYXNz", "X-API-Key": INFER},
        {"Authorization": f"Bearer {INFER}", "X-API-Key": INFER},
    ],
)
def test_key_is_accepted_in_either_header(guarded: TestClient, headers: dict[str, str]) -> None:
    response = guarded.post(
        "/classify", content=image(level(7)), headers={**headers, "Content-Type": "image/png"}
    )
    assert response.status_code == 200
    assert response.json()["predictions"][0]["label"] == "shade 7"


@pytest.mark.parametrize(
    "headers",
    [
        bearer(INFER[:-1]),
        bearer(""),
        {"Authorization": INFER},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {INFER}"},
        {"X-API-Key": "\xff"},
    ],
)
def test_invalid_keys_are_rejected(guarded: TestClient, headers: dict[str, str]) -> None:
    encoded: Any = {name: value.encode("latin-1") for name, value in headers.items()}
    assert guarded.post("/classify", headers=encoded).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "key"),
    [
        ("GET", "/metrics", METRICS),
        ("POST", "/v2/repository/index", ADMIN),
        ("POST", "/v2/repository/models/another/unload", ADMIN),
        ("POST", "/v2/logging", ADMIN),
        ("GET", "/v2/models/shades/trace/setting", ADMIN),
        ("GET", "/models", INFER),
        ("POST", "/docs", INFER),
        ("GET", "/docs/x/y", ADMIN),
        ("GET", "/openapi.json", INFER),
        ("GET", "/nowhere", ADMIN),
        ("POST", "/metrics", METRICS),
        ("PUT", "/v2/logging", ADMIN),
        ("GET", "/metrics%0A", METRICS),
        ("GET", "/v2/logging%0A", ADMIN),
    ],
)
def test_paths_require_their_scope(guarded: TestClient, method: str, path: str, key: str) -> None:
    for each in (INFER, ADMIN, METRICS):
        response = guarded.request(method, path, headers=bearer(each))
        assert (response.status_code == 403) == (each != key), each
    assert "lacks the scope 'metrics'" in guarded.get("/metrics", headers=bearer(INFER)).json()["error"]


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ([("Authorization", f"Bearer {INFER}")] * 2, "more than one header Authorization or X-API-Key"),
        ([("Authorization", "Basic x"), ("Authorization", f"Bearer {INFER}")], "more than one header"),
        ([("X-API-Key", INFER), ("X-API-Key", ADMIN)], "more than one header Authorization or X-API-Key"),
        ([("Authorization", f"Bearer {ADMIN}"), ("X-API-Key", INFER)], "have different keys"),
        ([("Authorization", "Bearer"), ("X-API-Key", INFER)], "have different keys"),
    ],
)
def test_several_keys_are_rejected(
    guarded: TestClient, headers: list[tuple[str, str]], sentence: str
) -> None:
    encoded: Any = [(name.encode(), value.encode()) for name, value in headers]
    for path in ("/models", "/v2/logging", "/nowhere"):
        response = guarded.get(path, headers=encoded)
        assert_error(response, 400, sentence)


def test_rate_limited_key_gets_retry_after(guarded: TestClient) -> None:
    assert guarded.get("/models", headers=bearer(SLOW)).status_code == 200
    response = guarded.get("/models", headers=bearer(SLOW))
    assert response.status_code == 429
    assert response.json() == {"error": "API key 'slow' has exceeded its limit of 0.001 requests a second"}
    assert 900 < int(response.headers["Retry-After"]) <= 1000


def test_rejections_are_counted_by_reason(guarded: TestClient) -> None:
    def counted() -> dict[str, float]:
        page = guarded.get("/metrics", headers=bearer(METRICS)).text
        samples = re.findall(r'connection_rejections_total{reason="(\w+)"} (\S+)', page)
        return {reason: float(number) for reason, number in samples}

    before = counted()
    guarded.get("/models")
    guarded.get("/models", headers=bearer(METRICS))
    assert guarded.get("/models", headers=bearer(SLOW)).status_code in (200, 429)
    assert guarded.get("/models", headers=bearer(SLOW)).status_code == 429
    after = counted()
    assert after["unauthenticated"] == before["unauthenticated"] + 1
    assert after["forbidden"] == before["forbidden"] + 1
    assert after["rate_limited"] > before["rate_limited"]
