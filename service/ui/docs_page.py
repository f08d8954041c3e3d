"""`GET /docs`: Swagger UI, from the files of an installed package."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from ..protocols.shared.routes import FileRoute, add_route
from ..security.api_keys import Scope
from .static_files import REVALIDATED, StaticFile, no_such_file

OWN_FILES = Path(__file__).parent / "docs"
PAGE = "index.html"
# The package is not imported: only the files in its folder are used.
PACKAGE = "fastapi_offline"
PACKAGED_FILES: Mapping[str, str] = MappingProxyType(
    {"swagger-ui.css": "static/swagger-ui.css", "swagger-ui-bundle.js": "static/swagger-ui-bundle.js"}
)


class DocsPage:
    """The page, its script, and Swagger UI; each file is read at its first use."""

    def __init__(self) -> None:
        own = {path.name: path for path in OWN_FILES.iterdir() if path.is_file()}
        self._paths = {**own, **_packaged_files()}
        self._files: dict[str, StaticFile] = {}

    def mount(self, app: FastAPI) -> None:
        for path, endpoint in (("/docs", self.page), ("/docs/{file}", self.file)):
            add_route(app, path, endpoint, scope=Scope.INFER, route_class=FileRoute, include_in_schema=False)

    async def page(self, request: Request) -> Response:
        return self._respond(request, PAGE)

    async def file(self, request: Request) -> Response:
        return self._respond(request, request.path_params["file"])

    def _respond(self, request: Request, name: str) -> Response:
        file = self._files.get(name)
        if file is None:
            if name not in self._paths:
                return no_such_file(request)
            file = self._files[name] = StaticFile.read(self._paths[name])
        return file.respond(request, REVALIDATED)


def _packaged_files() -> Mapping[str, Path]:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {PACKAGE!r}", name=PACKAGE)
    folder = Path(spec.origin).parent
    return {name: folder / path for name, path in PACKAGED_FILES.items()}
