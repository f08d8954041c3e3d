"""Adds routes to the application, each with the scope that an API key needs for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from ...security.api_keys import Scope
from .request_handler import Endpoint

# Routes that FastAPI adds itself.
DOCUMENTATION = frozenset({"/docs", "/docs/oauth2-redirect", "/openapi.json"})


class ScopedRoute(APIRoute):
    """A route with the scope that its requests need; None for a probe, which needs no key."""

    scope: Scope | None = Scope.ADMIN


class InferenceRoute(ScopedRoute):
    """A route whose endpoint receives the Starlette request; FastAPI only documents it."""

    def get_route_handler(self) -> Endpoint:
        handler: Endpoint = self.endpoint
        return handler


def add_route(
    app: FastAPI,
    path: str,
    endpoint: Callable[..., Any],
    *,
    scope: Scope | None,
    methods: Sequence[str] = ("GET",),
    route_class: type[ScopedRoute] = ScopedRoute,
    **options: Any,
) -> None:
    """Add a route; `options` are those of FastAPI's `add_api_route`."""
    app.router.add_api_route(path, endpoint, methods=[*methods], route_class_override=route_class, **options)
    route = app.router.routes[-1]
    assert isinstance(route, ScopedRoute)
    route.scope = scope


def scope_of_route(route: BaseRoute | None) -> Scope | None:
    """The scope that a request for a route needs; `admin` for a route without a scope, or for none."""
    if isinstance(route, ScopedRoute):
        return route.scope
    return Scope.INFER if getattr(route, "path", None) in DOCUMENTATION else Scope.ADMIN
