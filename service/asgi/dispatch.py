"""FastAPI, with a shorter way to the endpoints that are asked thousands of times a second."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from ..protocols.shared.request_handler import Endpoint, InferenceRoute

# A path is the client's to choose: no more of them are remembered, and none that is longer.
MAX_CACHED_PATHS = 1024
MAX_PATH_LENGTH = 256

# The endpoint that answers a path, and what the path names.
Route = tuple[Endpoint, dict[str, str]]
InternalErrorHandler = Callable[[Request, Exception], Awaitable[Response]]


class Application(FastAPI):
    """Answers requests for inference without the layers that other endpoints need.

    FastAPI tries every route's pattern in turn, and opens two stacks and two catch-alls around an endpoint
    that uses none of them: a quarter of all the time that a small network's request takes. Here the first
    request to a path is matched by the same routes in the same order, and the next ones find what was found.

    What `add_middleware` puts around FastAPI's routes is not passed on this way; what is to see every
    request lies around this application.

    Attributes:
        ways: what is remembered, by path.
    """

    def __init__(self, unforeseen: InternalErrorHandler, **options: Any) -> None:
        """`unforeseen` answers what no endpoint foresaw; `options` are FastAPI's."""
        super().__init__(**options)
        self.add_exception_handler(Exception, unforeseen)
        self._internal_error = unforeseen
        self.route_cache: dict[str, Route] = {}

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
            # As the outermost layer of starlette's does it: answered, and raised again to be logged.
            response = await self._internal_error(request, error)
            await response(scope, receive, send)
            raise
        await response(scope, receive, send)

    def _route(self, scope: Scope) -> Route | None:
        """The endpoint of a request for inference and what its path names; None for any other."""
        path: str = scope["path"]
        route = self.route_cache.get(path)
        if route is None:
            route = self._look_up(scope)
            if route is not None and len(path) <= MAX_PATH_LENGTH:
                if len(self.route_cache) >= MAX_CACHED_PATHS:
                    self.route_cache.clear()
                self.route_cache[path] = route
        return route

    def _look_up(self, scope: Scope) -> Route | None:
        for route in self.routes:
            match, found = route.matches(scope)
            if match is Match.FULL:
                if not isinstance(route, InferenceRoute):
                    return None
                return route.endpoint, found["path_params"]
        return None
