"""Parts of the OpenAPI description that every dialect uses: path parameters, the deadline header, errors."""

from __future__ import annotations

import re
from typing import Any

_NAMES = re.compile(r"{(\w+)}")

BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}

TIMEOUT: dict[str, Any] = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "description": "The request's deadline, in milliseconds from its arrival. After it the response is 504.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}

ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string", "description": "What is wrong, where, and what was expected."},
    },
}
ERROR_CONTENT: dict[str, Any] = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}

_ERRORS = {
    400: "The request or an image in it cannot be read, or does not fit the model.",
    404: "No such model or version.",
    413: "The request exceeds a limit on bytes or images.",
    415: "The media type or Content-Encoding is not supported.",
    429: "The queue is full; `Retry-After` gives the seconds to wait.",
    503: "The model is not ready, or the server is shutting down.",
    504: "The deadline passed.",
}


def error_responses() -> dict[int | str, dict[str, Any]]:
    """The errors of an inference request, in any dialect, by status code."""
    return {code: {"description": text, "content": ERROR_CONTENT} for code, text in _ERRORS.items()}


def path_parameters(path: str) -> list[dict[str, Any]]:
    """A required string parameter for each `{name}` in a route's path."""
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _NAMES.findall(path)
    ]


def operation_id(operation: str, path: str) -> str:
    """A unique identifier for an operation that has several paths, from the parameters of this one."""
    return "_".join([operation, *_NAMES.findall(path)])
