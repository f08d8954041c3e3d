"""The OpenAPI description, with a picture in its examples that the default model really reads."""

from __future__ import annotations

import base64
from typing import Any

from fastapi import FastAPI

from .errors import ConvserveError
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


def _add_examples(schema: dict[str, Any], registry: Registry) -> None:
    example = _example(registry)
    for path, operations in schema["paths"].items():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {})
        if example is not None and path.endswith("classify"):
            content["application/json"]["example"] = {"images": [{"b64": example}]}
    for operations in schema["paths"].values():
        for operation in operations.values():
            # The endpoints read their requests themselves and never answer FastAPI's own 422.
            operation["responses"].pop("422", None)


def _example(registry: Registry) -> str | None:
    try:
        model = registry.resolve()
    except ConvserveError:
        return None
    if model.manifest.example is None:
        return None
    path = model.folder.path / model.manifest.example.file
    return base64.b64encode(path.read_bytes()).decode()
