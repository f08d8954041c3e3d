"""The native dialect's OpenAPI description: parameters, the three forms of a body, responses."""

from __future__ import annotations

from typing import Any

from ..shared.openapi import BINARY, ERROR_SCHEMA, TIMEOUT, error_responses, path_parameters

DESCRIPTION = """Returns the most probable classes of each image, in the order of the request.

Send one image as the body, one or more as files of a form, or as base64 in JSON. Supported formats: PNG,
JPEG, WebP, BMP, GIF (first frame) and TIFF, in any colour mode. The `Server-Timing` response header gives the
milliseconds of each stage: decode, queue and compute.
"""


_PROBABLE = {
    "label": {"type": "string"},
    "index": {"type": "integer", "description": "Index of the class in the model's output."},
    "probability": {
        "type": ["number", "null"],
        "description": "null if the model's output is not a finite number.",
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
    "description": "The response to a classification request.",
    "required": ["model", "version", "predictions"],
    "properties": {
        "model": {"type": "string"},
        "version": {"type": "string"},
        "predictions": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/Predicted"},
            "description": "One per image, in the order of the request.",
        },
    },
}
# Plain schemas: for models, FastAPI would build a validator for each response of each route at every start,
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
    "description": "Number of classes to return per image, all if the model has fewer.",
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
                        "description": "The encoded image in base64, or as a data: URI.",
                    },
                    "filename": {"type": ["string", "null"], "description": "Returned with the prediction."},
                },
            },
        }
    },
}
PATHS = (
    "/classify",
    "/models/{name}/classify",
    "/models/{name}/versions/{version}/classify",
    "/models/{name}/labels/{label}/classify",
)


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
