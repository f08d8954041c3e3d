"""FastAPI with a shorter path to the inference endpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from ..protocols.shared.request_handler import Endpoint, InferenceRoute

# Clients choose the paths, so the cache is bounded in entries and in their length.
MAX_CACHED_PATHS = 1024
MAX_PATH_LENGTH = 256

# The endpoint of a path, and the path's parameters.
Route = tuple[Endpoint, dict[str, str]]
InternalErrorHandler = Callable[[Request, Exception], Awaitable[Response]]


class Application(FastAPI):
    """Serves inference requests without the layers that other endpoints need.

    FastAPI matches every route's pattern in turn, and wraps each endpoint in two exit stacks and two
    exception handlers. For a small network that is a quarter of a request's time. Here the first request to
    a path is matched by the same routes in the same order; later ones use the cached result.

    Attributes:
        route_cache: routes of inference requests, by path.
    """

    def __init__(self, internal_error: InternalErrorHandler, **options: Any) -> None:
        """`internal_error` responds to exceptions that no handler expects; `options` are FastAPI's."""
        super().__init__(**options)
        self.add_exception_handler(Exception, internal_error)
        self._internal_error = internal_error
        self.route_cache: dict[str, Route] = {}

    def add_middleware(self, *args: Any, **kwargs: Any) -> NoReturn:
        """
        Raises:
            RuntimeError: always; inference requests would bypass the middleware.
        """
        raise RuntimeError("middleware wraps the application: add it in asgi/middleware/stack.py")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._route(scope) if scope["type"] == "http" and scope["method"] == "POST" else None
        if route is None:
            await super().__call__(scope, receive, send)
            return
        endpoint, scope["path_params"] = route
        request = Request(scope, receive, send)
        try:
            response = await endpoint(request)
        except Exception as error:
            # Like starlette's outermost layer: respond, then raise again so that the error is logged.
            response = await self._internal_error(request, error)
            await response(scope, receive, send)
            raise
        await response(scope, receive, send)

    def _route(self, scope: Scope) -> Route | None:
        """The route of an inference request; None for any other request."""
        path: str = scope["path"]
        route = self.route_cache.get(path)
        if route is None:
            route = self._match(scope)
            if route is not None and len(path) <= MAX_PATH_LENGTH:
                if len(self.route_cache) >= MAX_CACHED_PATHS:
                    self.route_cache.clear()
                self.route_cache[path] = route
        return route

    def _match(self, scope: Scope) -> Route | None:
        for route in self.routes:
            match, child_scope = route.matches(scope)
            if match is Match.FULL:
                if not isinstance(route, InferenceRoute):
                    return None
                return route.endpoint, child_scope["path_params"]
        return None
