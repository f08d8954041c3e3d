"""`GET /ui`: the page, and for browsers the way to it from `/`."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope as RequestScope

from ..http.path_prefix import PathPrefix
from ..protocols.shared.responses import EncodedResponse
from ..protocols.shared.routes import FileRoute, add_route
from ..security.api_keys import Scope
from .static_files import IMMUTABLE, REVALIDATED, StaticFile, digest_of, no_such_file

FILES = Path(__file__).parent / "static"
PAGE = "index.html"
# Stands in the page for the digest of all files, which is part of their paths.
BUILD = b"{build}"
VARY = (b"vary", b"Accept")


class BrowserRoute(FileRoute):
    """A route that matches only requests of browsers, which accept HTML by name."""

    def matches(self, scope: RequestScope) -> tuple[Match, RequestScope]:
        accepted = (value for name, value in scope.get("headers", ()) if name == b"accept")
        if not any(b"text/html" in value for value in accepted):
            return Match.NONE, {}
        match, child_scope = super().matches(scope)
        # Another route serves the other methods of the path.
        return (match, child_scope) if match is Match.FULL else (Match.NONE, {})


class UserInterface:
    """The page and its files, which are in memory from the start: together they are small."""

    def __init__(self, prefix: PathPrefix) -> None:
        self._prefix = prefix
        self._files = {path.name: StaticFile.read(path) for path in FILES.iterdir() if path.is_file()}
        self._build = digest_of(self._files)
        page = self._files.pop(PAGE).body.replace(BUILD, self._build.encode())
        self._page = StaticFile.of(page, ".html")

    def mount(self, app: FastAPI) -> None:
        """Add the routes; the one for `/` has to come before the one that responds with JSON."""
        for path, endpoint, route in (
            ("/", self.root, BrowserRoute),
            ("/ui", self.page, FileRoute),
            ("/ui/{build}/{file}", self.file, FileRoute),
        ):
            add_route(app, path, endpoint, scope=Scope.INFER, route_class=route, include_in_schema=False)

    async def root(self, request: Request) -> Response:
        # Without a known prefix the path is relative, for a proxy that removes one from `/prefix/`.
        prefix = self._prefix.of(request.scope)
        location = f"{prefix}/ui" if prefix else "ui"
        return EncodedResponse(b"", (b"location", location.encode()), VARY, status=307)

    async def page(self, request: Request) -> Response:
        return self._page.respond(request, REVALIDATED)

    async def file(self, request: Request) -> Response:
        file = self._files.get(request.path_params["file"])
        if file is None:
            return no_such_file(request)
        # During an upgrade a page of another version may ask.
        return file.respond(
            request, IMMUTABLE if request.path_params["build"] == self._build else REVALIDATED
        )
