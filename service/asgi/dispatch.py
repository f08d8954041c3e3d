"""FastAPI with a shorter path to the endpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, NoReturn

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Send
from starlette.types import Scope as RequestScope

from ..errors import ConfigurationError
from ..http.path_prefix import PathPrefix
from ..protocols.shared.request_handler import Endpoint
from ..protocols.shared.routes import ScopedRoute, scope_of_route
from ..security.api_keys import Scope

# Clients choose the paths, so the cache is bounded in entries and in their length.
MAX_CACHED_PATHS = 1024
MAX_PATH_LENGTH = 256


class Found(NamedTuple):
    """The route of a request.

    Attributes:
        scope: the scope that it needs; None for a probe.
        endpoint: responds to the request; None if no route with this method matches, and for documentation.
        path_params: the parameters in the path.
        public: whether the request needs no key.
    """

    scope: Scope | None
    endpoint: Endpoint | None
    path_params: dict[str, str]
    public: bool = False


# Its response depends on the header Accept.
ROOT = "/"

_NOT_FOUND = Found(Scope.ADMIN, None, {})

InternalErrorHandler = Callable[[Request, Exception], Awaitable[Response]]


class Application(FastAPI):
    """Serves requests without layers that the endpoints do not need.

    FastAPI matches every route's pattern in turn, and wraps each endpoint in two exit stacks and two
    exception handlers. For a small network that is a quarter of a request's time, for a probe two thirds.
    Here the first request to a path is matched by the same routes in the same order; later ones use the
    cached result.

    Attributes:
        route_cache: routes by method and path.
    """

    def __init__(
        self, internal_error: InternalErrorHandler, prefix: PathPrefix | None = None, **options: Any
    ) -> None:
        """`internal_error` responds to exceptions that no handler expects; `options` are FastAPI's."""
        super().__init__(**options)
        self._prefix = prefix or PathPrefix()
        self.add_exception_handler(Exception, internal_error)
        self._internal_error = internal_error
        self.route_cache: dict[tuple[str, str], Found] = {}

    def add_middleware(self, *args: Any, **kwargs: Any) -> NoReturn:
        """
        Raises:
            RuntimeError: always; most requests would bypass the middleware.
        """
        raise RuntimeError("middleware wraps the application: add it in asgi/middleware/stack.py")

    async def __call__(self, scope: RequestScope, receive: Receive, send: Send) -> None:
        found = self.find(scope) if scope["type"] == "http" else _NOT_FOUND
        if found.endpoint is None:
            if scope["type"] == "http":
                scope["path"] = self._prefix.without(scope["path"])
            await super().__call__(scope, receive, send)
            return
        scope["path_params"] = found.path_params
        request = Request(scope, receive, send)
        try:
            response = await found.endpoint(request)
        except Exception as error:
            # Like starlette's outermost layer: respond, then raise again so that the error is logged.
            response = await self._internal_error(request, error)
            await response(scope, receive, send)
            raise
        await response(scope, receive, send)

    def find(self, scope: RequestScope) -> Found:
        """The route of an HTTP request and the scope that it needs: `admin` if no route matches."""
        key = scope["method"], scope["path"]
        found = self.route_cache.get(key)
        if found is None:
            found = self._match(scope)
            if found is not _NOT_FOUND and self._may_cache(key[1]):
                if len(self.route_cache) >= MAX_CACHED_PATHS:
                    self.route_cache.clear()
                self.route_cache[key] = found
        return found

    def _may_cache(self, path: str) -> bool:
        return len(path) <= MAX_PATH_LENGTH and self._prefix.without(path) != ROOT

    def _match(self, scope: RequestScope) -> Found:
        partial = _NOT_FOUND
        path = self._prefix.without(scope["path"])
        if path != scope["path"]:
            scope = {**scope, "path": path}
        for route in self.routes:
            match, child_scope = route.matches(scope)
            if match is Match.FULL:
                endpoint = route.respond if isinstance(route, ScopedRoute) else None
                public = isinstance(route, ScopedRoute) and route.public
                return Found(scope_of_route(route), endpoint, child_scope["path_params"], public)
            if match is Match.PARTIAL and partial is _NOT_FOUND:  # another method, which gets 405
                partial = Found(scope_of_route(route), None, {})
        return partial


def check_prefix(app: FastAPI, prefix: PathPrefix) -> None:
    """Check that no path of the server begins with the configured prefix: a proxy may remove it or keep it.

    Raises:
        ConfigurationError: one does.
    """
    root = prefix.root_path
    for route in app.routes:
        path = getattr(route, "path", "")
        if root and (path == root or path.startswith(f"{root}/")):
            raise ConfigurationError(
                f"CONVSERVE_ROOT_PATH: {root} is the beginning of the server's own {path}"
            )
