"""Serves the OpenAPI description, with examples of the default model."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from pydantic_core import to_json
from starlette.requests import Request
from starlette.routing import Route

from ..errors import ConvserveError
from ..http.path_prefix import PathPrefix
from ..inference.model import LoadedModel
from ..inference.registry import Registry
from ..protocols.native.openapi import SCHEMAS
from ..protocols.shared.conditional import conditional_response, etag_of
from ..protocols.shared.openapi import ERROR_CONTENT, path_parameters
from ..protocols.shared.responses import JSON_CONTENT_TYPE, EncodedResponse


def describe_with_examples(app: FastAPI, registry: Registry, prefix: PathPrefix) -> None:
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
    page = DescriptionPage(openapi, prefix)
    for index, route in enumerate(app.router.routes):
        if isinstance(route, Route) and route.path == app.openapi_url:
            app.router.routes[index] = Route(route.path, page.respond, include_in_schema=False)


class DescriptionPage:
    """The description as a response, which a client need not receive again while it is unchanged.

    Behind a path prefix it names the prefix as the server's URL. Only the last prefix is kept: a server has
    one, as a rule.
    """

    def __init__(self, describe: Callable[[], dict[str, Any]], prefix: PathPrefix) -> None:
        self._describe = describe
        self._prefix = prefix
        self._written: tuple[str, bytes, bytes] | None = None

    async def respond(self, request: Request) -> EncodedResponse:
        prefix = self._prefix.of(request.scope)
        if self._written is None or self._written[0] != prefix:
            servers = {"servers": [{"url": prefix}]} if prefix else {}
            body = to_json({**self._describe(), **servers})
            self._written = prefix, body, etag_of(body)
        _, body, etag = self._written
        return conditional_response(request, body, etag, JSON_CONTENT_TYPE)


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
        "/input": {"images": [{"b64": image}]},
        "/explain": {"images": [{"b64": image}]},
        "/infer": {"inputs": [tensor]},
        ":predict": {"instances": [{"b64": image}]},
        ":classify": {"examples": [{"image": {"b64": image}}]},
    }
