"""How inference by the Open Inference Protocol is described in OpenAPI."""

from __future__ import annotations

from typing import Any

from ..shared.openapi import BINARY, TIMEOUT, error_responses, path_parameters
from .rest_codec import HEADER_LENGTH

INFER_DESCRIPTION = f"""Pixels, or encoded pictures, in; the model's scores, or its best classes, out.

The body is JSON, or JSON followed by raw tensors, its length told in `{HEADER_LENGTH}`. A BYTES tensor of
shape `[n]` holds encoded pictures: raw as binary data, base64 in JSON. The output parameter
`classification: k` asks for the k best classes as `value:index:label`.
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

_ANSWER: dict[str, Any] = {
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
    content = {"application/json": {"schema": _ANSWER}, "application/octet-stream": BINARY}
    return {200: {"description": "The outputs.", "content": content}, **error_responses()}


def infer_parameters(path: str) -> list[dict[str, Any]]:
    length = {
        "name": HEADER_LENGTH,
        "in": "header",
        "description": "Bytes of JSON before the raw tensors; 0 where the whole body is the one tensor.",
        "schema": {"type": "integer", "minimum": 0},
    }
    return [*path_parameters(path), length, TIMEOUT]


def infer_body() -> dict[str, Any]:
    return {
        "required": True,
        "content": {"application/json": {"schema": _REQUEST}, "application/octet-stream": BINARY},
    }


def index_body() -> dict[str, Any]:
    properties = {"ready": {"type": "boolean", "description": "Only the versions that answer."}}
    schema = {"type": "object", "properties": properties}
    return {"content": {"application/json": {"schema": schema, "example": {"ready": True}}}}


def settings_body() -> dict[str, Any]:
    text = "Settings as they are, or null: they are fixed at the start, and a change is refused."
    schema = {"type": "object", "description": text}
    return {"content": {"application/json": {"schema": schema, "example": {}}}}
