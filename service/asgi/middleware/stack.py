"""Wraps the application in the middleware that its settings enable."""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from ...config.settings import Settings
from ...security.authorization import Authorizer
from ...telemetry.request_log import RequestLog
from ..dispatch import Application
from .access_log import AccessLog
from .admin_port import AdminPort
from .auth import Authentication

# Response headers that scripts of other origins may read, besides those of the CORS safelist.
EXPOSED_HEADERS = ("Retry-After", "Server-Timing", "Traceparent")


def build_middleware(
    application: Application,
    settings: Settings,
    authorizer: Authorizer | None = None,
    request_log: RequestLog | None = None,
) -> ASGIApp:
    """The application behind every enabled middleware, of which the last added is the outermost."""
    app: ASGIApp = application
    if authorizer is not None:
        app = Authentication(app, application.find, authorizer)
    if settings.admin_port:
        app = AdminPort(app, application.find, settings.admin_port)
    if settings.cors_origins is not None:
        # Outside authentication: preflight requests carry no key, and pages must be able to read a 401.
        app = CORSMiddleware(
            app,
            allow_origins=[origin.strip() for origin in settings.cors_origins.split(",")],
            allow_methods=["GET", "POST", "PUT"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
        )
    if request_log is not None:
        app = AccessLog(app, request_log)
    return app
