"""The OpenAPI description of the Open Inference Protocol."""

from __future__ import annotations

from typing import Any

from ..shared.openapi import BINARY, TIMEOUT, error_responses, path_parameters
from .rest_codec import HEADER_LENGTH

INFER_DESCRIPTION = f"""Takes a tensor of pixels or of encoded images; returns scores or best classes.

The body is JSON, or JSON followed by raw tensors; `{HEADER_LENGTH}` then gives the length of the JSON. A
BYTES tensor of shape `[n]` has encoded images: raw as binary data, base64 in JSON. The output parameter
`classification: k` requests the k best classes as `value:index:label`.
"""

_ID = {"type": "string"}
_PARAMETERS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_SHAPE = {"type": "array", "items": {"type": "integer"}}

_REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": _ID,
        "parameters": _PARAMETERS,
        "inputs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "shape", "datatype"],
                "properties": {
                    "name": {"type": "string"},
                    "shape": _SHAPE,
                    "datatype": {"type": "string"},
                    "parameters": _PARAMETERS,
                    "data": {"type": "array"},
                },
            },
        },
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "parameters": _PARAMETERS},
            },
        },
    },
}

_RESPONSE: dict[str, Any] = {
    "type": "object",
    "required": ["id", "model_name", "model_version", "outputs"],
    "properties": {
        "id": _ID,
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "parameters": _PARAMETERS,
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "datatype", "shape"],
                "properties": {
                    "name": {"type": "string"},
                    "datatype": {"type": "string"},
                    "shape": _SHAPE,
                    "parameters": _PARAMETERS,
                    "data": {"type": "array"},
                },
            },
        },
    },
}


def responses() -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": _RESPONSE}, "application/octet-stream": BINARY}
    return {200: {"description": "The outputs.", "content": content}, **error_responses()}


def infer_parameters(path: str) -> list[dict[str, Any]]:
    length = {
        "name": HEADER_LENGTH,
        "in": "header",
        "description": "Bytes of JSON before the raw tensors; 0 if the whole body is one raw tensor.",
        "schema": {"type": "integer", "minimum": 0},
    }
    return [*path_parameters(path), length, TIMEOUT]


def infer_body() -> dict[str, Any]:
    return {
        "required": True,
        "content": {"application/json": {"schema": _REQUEST}, "application/octet-stream": BINARY},
    }


def index_body() -> dict[str, Any]:
    properties = {"ready": {"type": "boolean", "description": "List only versions that are ready."}}
    schema = {"type": "object", "properties": properties}
    return {"content": {"application/json": {"schema": schema, "example": {"ready": True}}}}


def settings_body() -> dict[str, Any]:
    text = "Settings with their current values, or null. Settings are fixed at startup; a change is rejected."
    schema = {"type": "object", "description": text}
    return {"content": {"application/json": {"schema": schema, "example": {}}}}
