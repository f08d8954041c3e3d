"""The application and what lies around it: nothing but itself where no setting asks for more."""

from __future__ import annotations

from starlette.types import ASGIApp

from ..gate import Gate
from .authentication import Authentication


def enclose(app: ASGIApp, *, gate: Gate | None) -> ASGIApp:
    """The application behind every middleware that is on; the last put around it is the outermost."""
    if gate is not None:
        app = Authentication(app, gate)
    return app
