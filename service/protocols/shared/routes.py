"""Adds routes to the application, each with the scope that an API key needs for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from ...errors import ConvserveError
from ...security.api_keys import Scope
from .request_handler import Endpoint, disconnected_status
from .responses import error_response

# The route that FastAPI adds itself.
DOCUMENTATION = frozenset({"/openapi.json"})


class ScopedRoute(APIRoute):
    """A route that FastAPI only documents: its endpoint takes the request, or nothing, and responds.

    Attributes:
        scope: the scope that its requests need; None for a probe, which needs no key.
        public: whether a request needs no key although it is no probe: for files that come with the server.
        respond: calls the endpoint; an error of the server's own becomes a response.
    """

    scope: Scope | None = Scope.ADMIN
    public = False
    respond: Endpoint

    def get_route_handler(self) -> Endpoint:
        """Called once, by FastAPI's constructor."""
        self.respond = self._handler()
        return self.respond

    def _handler(self) -> Endpoint:
        endpoint = self.endpoint
        takes_request = bool(signature(endpoint).parameters)

        async def handler(request: Request) -> Response:
            try:
                response: Response = await (endpoint(request) if takes_request else endpoint())
            except ConvserveError as error:
                response = error_response(error)
            except ClientDisconnect:
                response = Response(status_code=disconnected_status(request.scope))
            return response

        return handler


class FileRoute(ScopedRoute):
    """A route to files that come with the server; they are served beside inference, to everybody."""

    public = True


class InferenceRoute(ScopedRoute):
    """A route whose endpoint takes the request, and responds to errors itself."""

    def _handler(self) -> Endpoint:
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
