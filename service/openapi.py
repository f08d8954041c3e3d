"""The OpenAPI description, with a picture in its examples that the default model really reads."""

from __future__ import annotations

import base64
import re
from typing import Any

from fastapi import FastAPI

from .errors import ConvserveError
from .protocols.native_openapi import SCHEMAS
from .registry import Registry


def describe_with_examples(app: FastAPI, registry: Registry) -> None:
    """Give every JSON body of the description the example picture of the default model.

    FastAPI makes the description on its first use, which is after the models have been loaded.
    """
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _add_examples(describe(), registry)
        return describe()

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI's documentation extends it


_NAMES = re.compile(r"{(\w+)}")
_ANY_ERROR = {
    "description": "An error, told in a sentence.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Say what FastAPI does not know: the endpoints take their requests as they are."""
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = _ANY_ERROR
    if path == "/metrics":  # the one page that is not JSON
        operation["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    parameters = operation.setdefault("parameters", [])
    told = {parameter["name"] for parameter in parameters}
    parameters += [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _NAMES.findall(path)
        if name not in told
    ]


def _add_examples(schema: dict[str, Any], registry: Registry) -> None:
    schema.setdefault("components", {}).setdefault("schemas", {}).update(SCHEMAS)
    example = _example(registry)
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            _complete(path, operation)
        content = operations.get("post", {}).get("requestBody", {}).get("content", {})
        if example is not None and "application/json" in content:
            verb = path[max(path.rfind("/"), path.rfind(":")) :]
            content["application/json"]["example"] = example[verb]


def _example(registry: Registry) -> dict[str, Any] | None:
    """By the last part of a path, a body that asks for the default model's example picture."""
    try:
        model = registry.resolve()
    except ConvserveError:
        return None
    if model.manifest.example is None:
        return None
    picture = base64.b64encode((model.folder.path / model.manifest.example.file).read_bytes()).decode()
    tensor = {"name": model.manifest.input.name, "shape": [1], "datatype": "BYTES", "data": [picture]}
    return {
        "/classify": {"images": [{"b64": picture}]},
        "/infer": {"inputs": [tensor]},
        ":predict": {"instances": [{"b64": picture}]},
        ":classify": {"examples": [{"image": {"b64": picture}}]},
    }
