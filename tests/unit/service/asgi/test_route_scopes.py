"""Each route has one scope, and no spelling of a path reaches a route with another."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Route
from starlette.types import Message

from service.asgi.app import create_app
from service.asgi.dispatch import Application
from service.config.settings import Settings
from service.protocols.shared.routes import DOCUMENTATION, FileRoute, ScopedRoute, scope_of_route
from service.security.api_keys import Scope
from service.security.authorization import PROBES

APP = create_app(Settings())
ROUTES = [route for route in APP.routes if isinstance(route, Route)]

# All others need `infer`.
ADMIN = {
    "/v2/logging",
    "/v2/trace/setting",
    "/v2/models/{name}/trace/setting",
    "/v2/repository/index",
    "/v2/repository/models/{name}/load",
    "/v2/repository/models/{name}/unload",
    "/v2/repository/{repository}/index",
    "/v2/repository/{repository}/models/{name}/load",
    "/v2/repository/{repository}/models/{name}/unload",
    "/v2/systemsharedmemory/status",
    "/v2/systemsharedmemory/{rest:path}",
    "/v2/cudasharedmemory/status",
    "/v2/cudasharedmemory/{rest:path}",
}


# Files that come with the server, and the way to them; JSON at `/` has a route of its own, which needs a key.
PUBLIC = {"/", "/ui", "/ui/{build}/{file}", "/docs", "/docs/{file}"}


def expected(path: str) -> Scope | None:
    if path in PROBES:
        return None
    if path == "/metrics":
        return Scope.METRICS
    return Scope.ADMIN if path in ADMIN else Scope.INFER


def test_every_route_has_a_scope() -> None:
    assert len(ROUTES) == len(APP.routes), "another kind of route needs another look at who may ask it"
    for route in ROUTES:
        assert isinstance(route, ScopedRoute) or route.path in DOCUMENTATION, route.path
        assert scope_of_route(route) == expected(route.path), route.path
    assert {*PROBES, *ADMIN} <= {route.path for route in ROUTES}


def test_only_files_of_the_package_are_public() -> None:
    assert {route.path for route in ROUTES if isinstance(route, ScopedRoute) and route.public} == PUBLIC
    for route in ROUTES:
        if isinstance(route, ScopedRoute) and route.public:
            assert isinstance(route, FileRoute)
            assert route.methods == {"GET"}
            assert route.endpoint.__module__.startswith("service.ui.")
    browser = {**request("GET", "/"), "headers": [(b"accept", b"text/html,*/*;q=0.8")]}
    assert APP.find(browser).public
    for path in ("/", "/openapi.json", "/models", "/x"):
        assert not APP.find(request("GET", path)).public
    assert not APP.find({**browser, "method": "POST"}).public


def request(method: str, path: str) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}


def test_unknown_route_needs_admin() -> None:
    for path in ("/nowhere", "/livez/", "//livez", "/LIVEZ", "", "/v2/models/a/b/c/d"):
        assert APP.find(request("GET", path)).scope is Scope.ADMIN
    assert scope_of_route(None) is Scope.ADMIN


def test_route_without_a_scope_needs_admin() -> None:
    app = Application(APP._internal_error)
    app.router.add_api_route("/new", lambda: None)
    assert app.find(request("GET", "/new")).scope is Scope.ADMIN


INSERTED = [
    *("/", "//", ".", "..", "/../", "/./", ";", ";x=1", "?", "#", "+", "\\"),
    *("%", "%2F", "%2f", "%0A", "%00", "%7F", "%25", "\n", "\x00", " ", "\t"),
    *("\u2028", "\u00e9", "\u202e", "\u212a"),
    *("metrics", "livez", "/v2", "logging"),
]
NAMES = ["shades", "1", "stats", "index", "", "a\n"]


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """The path of a route, with other spellings of its characters and with insertions."""
    path = draw(st.sampled_from(ROUTES)).path.replace("{rest:path}", "status")
    for name in ("name", "version", "repository", "label", "verb"):
        path = path.replace(f"{{{name}}}", draw(st.sampled_from(NAMES)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(path)))
        kind = draw(st.sampled_from(["insert", "encode", "case", "cut"]))
        if kind == "insert":
            path = path[:at] + draw(st.sampled_from(INSERTED)) + path[at:]
        elif kind == "encode":
            path = path[:at] + "".join(f"%{byte:02x}" for byte in path[at : at + 1].encode()) + path[at + 1 :]
        elif kind == "case":
            path = path[:at] + path[at : at + 1].swapcase() + path[at + 1 :]
        else:
            path = path[:at] + path[at + 1 :]
    return path


@given(path=spellings(), method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS"]))
def test_scope_is_that_of_the_endpoint_that_runs(path: str, method: str) -> None:
    """The framework's own routing, which runs the endpoint, is the reference."""
    scope = request(method, unquote(path))
    needed = APP.find(dict(scope)).scope

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        pass

    asyncio.run(FastAPI.__call__(APP, scope, receive, send))
    scopes = {expected(route.path) for route in ROUTES if route.endpoint is scope.get("endpoint")}
    assert {needed} == (scopes or {Scope.ADMIN})
