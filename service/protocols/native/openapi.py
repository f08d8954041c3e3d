"""How the native dialect is described in OpenAPI: parameters, the three forms of a body, answers."""

from __future__ import annotations

from typing import Any

from ..shared.openapi import BINARY, ERROR_SCHEMA, TIMEOUT, error_responses, path_parameters

DESCRIPTION = """The most probable classes of each picture, in the order the pictures came.

Send one picture as the body, one or many as a form, or base64 in JSON. PNG, JPEG, WebP, BMP, GIF (its first
frame) and TIFF are read, in any colour mode. The `Server-Timing` header tells the milliseconds of each stage.
"""


_PROBABLE = {
    "label": {"type": "string"},
    "index": {"type": "integer", "description": "The class's place in the model's output."},
    "probability": {
        "type": ["number", "null"],
        "description": "null where the model gave what is not a number.",
    },
}
_RANKED = {"type": "object", "required": list(_PROBABLE), "properties": _PROBABLE}
_PREDICTED = {
    "type": "object",
    "required": ["filename", *_PROBABLE, "top_k"],
    "properties": {
        "filename": {"type": ["string", "null"]},
        **_PROBABLE,
        "top_k": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/Ranked"},
            "description": "The most probable classes, best first.",
        },
    },
}
_CLASSIFIED = {
    "type": "object",
    "description": "The answer to a request for classification.",
    "required": ["model", "version", "predictions"],
    "properties": {
        "model": {"type": "string"},
        "version": {"type": "string"},
        "predictions": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/Predicted"},
            "description": "One a picture, in order.",
        },
    },
}
# Plain schemas: from models FastAPI would build a validator for each answer of each route, at every start,
# and import a second pydantic to do so.
SCHEMAS: dict[str, dict[str, Any]] = {
    "Classified": _CLASSIFIED,
    "Predicted": _PREDICTED,
    "Ranked": _RANKED,
    "Error": ERROR_SCHEMA,
}

_TOP_K = {
    "name": "top_k",
    "in": "query",
    "description": "How many classes to tell; more than the model has is all of them.",
    "schema": {"type": "integer", "minimum": 1, "default": 5},
}
_JSON_IMAGES = {
    "type": "object",
    "required": ["images"],
    "additionalProperties": False,
    "properties": {
        "images": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["b64"],
                "additionalProperties": False,
                "properties": {
                    "b64": {
                        "type": "string",
                        "description": "The encoded picture in base64; a data: URI is taken too.",
                    },
                    "filename": {"type": ["string", "null"], "description": "Given back with the answer."},
                },
            },
        }
    },
}
PATHS = ("/classify", "/models/{name}/classify", "/models/{name}/versions/{version}/classify")


def parameters(path: str) -> list[dict[str, Any]]:
    return [*path_parameters(path), _TOP_K, TIMEOUT]


def responses() -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Classified"}}}
    return {200: {"description": "The labels.", "content": content}, **error_responses()}


def request_body() -> dict[str, Any]:
    form = {
        "type": "object",
        "properties": {"images": {"type": "array", "items": {"type": "string", "format": "binary"}}},
    }
    return {
        "required": True,
        "content": {
            "application/json": {"schema": _JSON_IMAGES},
            "multipart/form-data": {"schema": form},
            "image/png": BINARY,
            "image/jpeg": BINARY,
            "application/octet-stream": BINARY,
        },
    }
