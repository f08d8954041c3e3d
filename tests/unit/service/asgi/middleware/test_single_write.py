"""A complete response is written in one call with any middleware."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from service.asgi.app import build
from service.asgi.middleware.stack import build_middleware
from service.config.limits import ConnectionLimits
from service.config.settings import Settings
from service.http.connection_pool import ConnectionPool
from service.security.api_keys import ApiKeyStore
from service.security.authorization import Authorizer
from service.security.rate_limiter import RateLimiter
from service.telemetry.rejections import RejectionCounters
from service.telemetry.request_log import RequestLog
from tests.support.http.raw_http import head
from tests.support.http.recording_transport import RecordingTransport
from tests.support.models.gray_classifier import image, level

BODY = image(level(7))
KEY = "the-only-key-of-the-test"
REQUEST = head(f"Content-Length: {len(BODY)}", f"X-API-Key: {KEY}", "Origin: https://example.org") + BODY


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"access_log": True},
        {"cors_origins": "*"},
        {"admin_port": 9000},
        {"access_log": True, "cors_origins": "*", "admin_port": 9000, "api_keys": f"client infer {KEY}"},
    ],
)
def test_response_is_one_write(repository: Path, options: dict[str, Any]) -> None:
    settings = Settings(models=repository, **options)

    async def converse() -> list[bytes]:
        service = build(settings)
        app = service.app
        rejections = RejectionCounters(service.telemetry.connection_rejections)
        log = RequestLog(log=True, tracing=None) if settings.access_log else None
        authorizer = None
        if settings.api_keys is not None:
            store = ApiKeyStore(settings.api_keys.get_secret_value(), None)
            authorizer = Authorizer(store, RateLimiter(None), rejections)
        pool = ConnectionPool(ConnectionLimits.of(settings), rejections, service.budget)
        config = uvicorn.Config(
            build_middleware(app, settings, authorizer, log),
            lifespan="off",
            log_config=None,
            proxy_headers=False,
        )
        config.load()
        transport = RecordingTransport()
        state = ServerState()
        async with app.router.lifespan_context(app):
            connection = pool.connect(config, state, {})
            connection.connection_made(transport)
            connection.data_received(REQUEST)
            await asyncio.wait(state.tasks)
        return transport.writes

    (written,) = asyncio.run(converse())
    assert written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"label":"shade 7"' in written
