"""Serves the OpenAPI description, with examples of the default model."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from pydantic_core import to_json
from starlette.requests import Request
from starlette.routing import Route

from ..errors import ConvserveError
from ..inference.model import LoadedModel
from ..inference.registry import Registry
from ..protocols.native.openapi import SCHEMAS
from ..protocols.shared.openapi import ERROR_CONTENT, path_parameters
from ..protocols.shared.responses import JSON_CONTENT_TYPE, EncodedResponse

ETAG_DIGITS = 32


def describe_with_examples(app: FastAPI, registry: Registry) -> None:
    """Use the default model's name as an example in paths, and its example image in JSON bodies.

    FastAPI creates the description at its first use, after the models have been loaded. It is written as JSON
    once: FastAPI's own endpoint writes it for each request, which takes longer than classifying an image.
    """
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _add_examples(describe(), registry)
        return describe()

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation extends it
    page = DescriptionPage(openapi)
    for index, route in enumerate(app.router.routes):
        if isinstance(route, Route) and route.path == app.openapi_url:
            app.router.routes[index] = Route(route.path, page.respond, include_in_schema=False)


class DescriptionPage:
    """The description as a response, which a client need not receive again while it is unchanged."""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = describe
        self._body = b""
        self._etag = b""

    async def respond(self, request: Request) -> EncodedResponse:
        if not self._body:
            self._body = to_json(self._describe())
            self._etag = b'"%b"' % hashlib.sha256(self._body).hexdigest()[:ETAG_DIGITS].encode()
        etag = (b"etag", self._etag)
        conditions = [value for name, value in request.scope["headers"] if name == b"if-none-match"]
        if not any(map(self._matches, conditions)):
            return EncodedResponse(self._body, JSON_CONTENT_TYPE, etag)
        unchanged = EncodedResponse(b"", status=304)
        unchanged.raw_headers = [etag]  # a Content-Length would be that of the description
        return unchanged

    def _matches(self, value: bytes) -> bool:
        return self._etag in value or value.strip() == b"*"


_ANY_ERROR = {
    "description": "An error, as one sentence.",
    "content": ERROR_CONTENT,
}


def _complete(path: str, operation: dict[str, Any], names: Mapping[str, str]) -> None:
    """Add what FastAPI cannot infer, because the endpoints declare no parameters."""
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = _ANY_ERROR
    if path == "/metrics":  # the one response that is not JSON
        operation["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    parameters = operation.setdefault("parameters", [])
    described = {parameter["name"] for parameter in parameters}
    parameters += [each for each in path_parameters(path) if each["name"] not in described]
    operation["parameters"] = [_with_example(parameter, names) for parameter in parameters]


def _with_example(parameter: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    if parameter["in"] != "path" or parameter["name"] not in names:
        return parameter
    return {**parameter, "example": names[parameter["name"]]}


def _add_examples(schema: dict[str, Any], registry: Registry) -> None:
    schema.setdefault("components", {}).setdefault("schemas", {}).update(SCHEMAS)
    try:
        model = registry.resolve()
    except ConvserveError:
        model = None
    names = {} if model is None else {"name": model.name, "version": model.version}
    bodies = {} if model is None else _bodies(model)
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            _complete(path, operation, names)
        content = operations.get("post", {}).get("requestBody", {}).get("content", {})
        verb = path[max(path.rfind("/"), path.rfind(":")) :]
        if "application/json" in content and verb in bodies:
            content["application/json"]["example"] = bodies[verb]


def _bodies(model: LoadedModel) -> dict[str, Any]:
    """JSON bodies that hold the model's example image, by the last part of the path."""
    example = model.folder.example(model.manifest)
    if example is None:
        return {}
    image = base64.b64encode(example).decode()
    tensor = {"name": model.manifest.input.name, "shape": [1], "datatype": "BYTES", "data": [image]}
    return {
        "/classify": {"images": [{"b64": image}]},
        "/infer": {"inputs": [tensor]},
        ":predict": {"instances": [{"b64": image}]},
        ":classify": {"examples": [{"image": {"b64": image}}]},
    }
