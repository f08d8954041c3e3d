"""The OpenAPI description of explanations."""

from __future__ import annotations

from typing import Any

from ...explain.request import DEFAULT_GRID, MAPS, MAX_GRID, MAX_OTHERS, METHODS, MIN_GRID
from ..shared.openapi import BINARY, TIMEOUT, error_responses, path_parameters
from .explain_parameters import FORMATS, MAX_MAP

_MODELS = ("/models/{name}", "/models/{name}/versions/{version}", "/models/{name}/labels/{label}")
EXPLAIN_PATHS = tuple(f"{model}/explain" for model in _MODELS)
LAYERS_PATHS = tuple(f"{model}/layers" for model in _MODELS)

EXPLAIN_DESCRIPTION = """Returns which parts of an image led to the answer, or the feature maps of a layer.

Without a method, the best for the network is used; the response names it. The same image, version and
parameters give the same bytes.
"""
LAYERS_DESCRIPTION = """Returns the layers of a network with shapes, parameters, multiply-adds and receptive
fields, and the methods that explain its answers. With `layer`, returns the weights of one layer.
"""


def explain_query(path: str) -> list[dict[str, Any]]:
    """The parameters of a path for explanations."""
    flag = {"type": "boolean", "default": False}
    return [
        *path_parameters(path),
        _query("method", {"type": "string", "enum": [*METHODS, MAPS]}, "How to explain, or `maps`."),
        _query("layer", {"type": "string"}, "A layer of the network, or `input`."),
        _query("label", {"type": "string"}, "The label to explain, or `#` and its index."),
        _query("versus", {"type": "string"}, "Explain why the label and not this one."),
        _query("others", _range(0, MAX_OTHERS, 0), "Maps of so many further labels."),
        _query("grid", _range(MIN_GRID, MAX_GRID, DEFAULT_GRID), "Windows of occlusion along each side."),
        _query("curves", flag, "Measure deletion and insertion."),
        _query("flip", flag, "Find the smallest erasure that changes the label."),
        _query("map", {"type": "integer", "minimum": 0, "maximum": MAX_MAP}, "One map of `maps`."),
        _format(),
        TIMEOUT,
    ]


def layers_query(path: str) -> list[dict[str, Any]]:
    """The parameters of a path for layers."""
    layer = _query("layer", {"type": "string"}, "Return the weights of this layer.")
    return [*path_parameters(path), layer, _format()]


def response_content(description: str) -> dict[int | str, dict[str, Any]]:
    """The responses of both."""
    content = {
        "application/json": {"schema": {"type": "object"}},
        "image/png": BINARY,
        "application/octet-stream": BINARY,
    }
    return {200: {"description": description, "content": content}, **error_responses()}


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _format() -> dict[str, Any]:
    return _query("format", {"type": "string", "enum": [*FORMATS], "default": "json"}, "Of the response.")


def _range(least: int, most: int, default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most, "default": default}
