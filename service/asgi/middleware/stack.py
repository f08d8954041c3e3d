"""The application and what lies around it: nothing but itself where no setting asks for more."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from ...config.settings import Settings
from ...security.authorization import Authorizer
from ...telemetry.request_log import RequestLog
from .access_log import AccessLog
from .admin_port import AdminPort
from .auth import Authentication

# Besides what browsers let every script see.
EXPOSED = ("Retry-After", "Server-Timing", "Traceparent")


def build_middleware(
    app: ASGIApp,
    settings: Settings,
    gate: Authorizer | None = None,
    request_log: RequestLog | None = None,
) -> ASGIApp:
    """The application behind every middleware that is on; the last put around it is the outermost."""
    if gate is not None:
        app = Authentication(app, gate)
    if settings.admin_port:
        app = AdminPort(app, settings.admin_port)
    if settings.cors_origins is not None:
        # Outside of the keys: a browser asks beforehand without one, and has to read who is refused.
        app = CORSMiddleware(
            app,
            allow_origins=_listed(settings.cors_origins),
            allow_methods=["GET", "POST", "PUT"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )
    if request_log is not None:
        app = AccessLog(app, request_log)
    return app


def _listed(text: str) -> Sequence[str]:
    return [word.strip() for word in text.split(",")]
