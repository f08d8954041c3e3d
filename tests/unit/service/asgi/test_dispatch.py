"""Cached routing and FastAPI's routing give the same responses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message

from service.asgi.app import create_app
from service.asgi.dispatch import MAX_CACHED_PATHS, MAX_PATH_LENGTH, Application
from service.config.settings import Settings
from tests.conftest import ROOT
from tests.support.models.gray_classifier import image, level

PNG = (b"content-type", b"image/png")
JSON = (b"content-type", b"application/json")
TENSOR = {"name": "pixels", "shape": [1, 8, 8, 1], "datatype": "UINT8", "data": [level(3)] * 64}


@dataclass(frozen=True)
class Case:
    path: str
    body: bytes = field(default=b"", repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = (PNG,)
    query: bytes = b""


def document(content: object) -> bytes:
    return json.dumps(content).encode()


CASES = [
    Case("/classify", image(level(3))),
    Case("/classify", image(level(3)), query=b"top_k=2"),
    Case("/classify", image(level(3)), query=b"top_k=0"),
    Case("/classify", image(level(3)), (PNG, (b"x-request-timeout-ms", b"soon"))),
    Case("/classify", image(level(3)), (PNG, (b"x-request-timeout-ms", b"0.000001"))),
    Case("/classify", image(level(3)), (PNG, (b"content-length", b"99999999999"))),
    Case("/classify", image(level(3)), (PNG, (b"content-encoding", b"gzip"))),
    Case("/classify", image(level(3)), (PNG, (b"content-type", b"text/plain"))),
    Case("/classify", image(level(3)), ((b"content-type", b"text/plain"), PNG)),
    Case("/classify", b"no image"),
    Case("/classify", b"\x89PNG\r\n\x1a\nno image"),
    Case("/classify"),
    Case("/classify", document({"images": []}), (JSON,)),
    Case("/classify", b"{", (JSON,)),
    Case("/classify", b"--x", ((b"content-type", b"multipart/form-data"),)),
    Case("/models/shades/classify", image(level(7))),
    Case("/models/shades/versions/1/classify", image(level(7))),
    Case("/models/shades/versions/2/classify", image(level(7))),
    Case("/models/unknown/classify", image(level(7))),
    Case("/models//classify", image(level(7))),
    Case("/models/shades", image(level(7))),
    Case("/v2/models/shades/infer", document({"id": "1", "inputs": [TENSOR]}), (JSON,)),
    Case("/v2/models/shades/infer", document({"id": "1", "inputs": []}), (JSON,)),
    Case("/v2/models/unknown/infer", document({"id": "1", "inputs": [TENSOR]}), (JSON,)),
    Case("/v2/models/shades/versions/1/infer", b"", (JSON, (b"inference-header-content-length", b"9"))),
    Case("/v2/models/shades/unload"),
    Case("/v2/repository/index", b"{}", (JSON,)),
    Case("/v1/models/shades:predict", document({"instances": [TENSOR["data"]]}), (JSON,)),
    Case("/v1/models/shades:PREDICT", document({"instances": []}), (JSON,)),
    Case("/v1/models/shades:regress", b"{}", (JSON,)),
    Case("/v1/models/shades/labels/stable:predict", b"{}", (JSON,)),
    Case("/predictions/shades", image(level(7)), ()),
    Case("/predictions/unknown", image(level(7)), ()),
    Case("/nowhere"),
    Case("/metrics"),
    Case("/"),
]


@pytest.fixture
def application(repository: Path) -> Iterator[tuple[Application, TestClient]]:
    app = create_app(Settings(models=repository))
    with TestClient(app) as client:
        yield app, client


async def ask(app: ASGIApp, case: Case) -> list[Message]:
    """The messages that the application sends, without Server-Timing."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": case.body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": case.path,
        "query_string": case.query,
        "headers": list(case.headers),
    }
    await app(scope, receive, send)
    for message in sent:
        if "headers" in message:
            message["headers"] = sorted(pair for pair in message["headers"] if pair[0] != b"server-timing")
    return sent


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cached_routing_matches_fastapi(case: Case, application: tuple[Application, TestClient]) -> None:
    app, client = application
    assert client.portal is not None

    async def fastapi_path(scope: Any, receive: Any, send: Any) -> None:
        await FastAPI.__call__(app, scope, receive, send)

    first, again = client.portal.call(ask, app, case), client.portal.call(ask, app, case)
    assert first == again == client.portal.call(ask, fastapi_path, case)
    assert [message["type"] for message in first] == ["http.response.start", "http.response.body"]


def test_internal_error_is_sent_and_raised(
    application: tuple[Application, TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, client = application
    assert client.portal is not None
    sent: list[Message] = []

    async def fail(app: ASGIApp) -> None:
        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            raise ZeroDivisionError("an unexpected error")

        scope = {"type": "http", "method": "POST", "path": "/classify", "query_string": b"", "headers": []}
        await app(scope, receive, send)

    with pytest.raises(ZeroDivisionError, match="an unexpected error"):
        client.portal.call(fail, app)
    short, sent[:] = list(sent), []
    with pytest.raises(ZeroDivisionError, match="an unexpected error"):
        client.portal.call(fail, lambda *call: FastAPI.__call__(app, *call))
    assert [short[0]["status"], short[1]["body"]] == [sent[0]["status"], sent[1]["body"]]
    assert short[0]["status"] == 500


def test_adding_middleware_raises() -> None:
    app = create_app(Settings())
    with pytest.raises(RuntimeError, match=r"asgi/middleware/stack\.py"):
        app.add_middleware(CORSMiddleware)


def test_building_the_app_does_not_import_pydantic_v1() -> None:
    """FastAPI imports pydantic.v1 as soon as a route declares a parameter or model."""
    code = (
        "import sys; from service.asgi.app import create_app; from service.config.settings import Settings; "
        "create_app(Settings()); print('pydantic.v1' in sys.modules)"
    )
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert made.stdout == "False\n"


def test_route_cache_is_bounded(application: tuple[Application, TestClient]) -> None:
    app, client = application
    for index in range(MAX_CACHED_PATHS + 1):
        assert client.post(f"/models/model-{index}/classify").status_code == 404
    assert client.post(f"/models/{'m' * MAX_PATH_LENGTH}/classify").status_code == 404
    assert 0 < len(app.route_cache) <= MAX_CACHED_PATHS
    assert max(len(path) for _, path in app.route_cache) <= MAX_PATH_LENGTH
