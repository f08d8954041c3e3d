"""Reads the query parameters of explanations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

from starlette.requests import Request

from ...errors import InvalidInput, shown
from ...explain.request import DEFAULT_GRID, MAPS, MAX_GRID, MAX_OTHERS, METHODS, MIN_GRID, ExplainOptions

Format = Literal["json", "png", "npz"]

FORMATS: Final = ("json", "png", "npz")
MAX_QUERY_LENGTH: Final = 2000
MAX_MAP: Final = 1 << 20
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}
_EXPLAIN: Final = (
    "method",
    "layer",
    "label",
    "versus",
    "others",
    "grid",
    "curves",
    "flip",
    "map",
    "format",
)
_LAYERS: Final = ("layer", "format")


@dataclass(frozen=True, slots=True)
class ExplainParameters:
    """The query of a request for an explanation.

    Attributes:
        wants_maps: whether the output of a layer is requested.
        options: the parameters of the explanation.
        map_number: the number of one map; None for all.
        format: of the response.
    """

    wants_maps: bool
    options: ExplainOptions
    map_number: int | None
    format: Format


@dataclass(frozen=True, slots=True)
class LayersParameters:
    """The query of a request for layers; `layer` asks for the weights of one."""

    layer: str | None
    format: Format


def explain_parameters(request: Request) -> ExplainParameters:
    """The parameters of `POST …/explain`.

    Raises:
        InvalidInput: one is unknown or invalid; the message says what was expected.
    """
    query = _query(request, _EXPLAIN)
    method = query.get("method")
    if method is not None and method not in (*METHODS, MAPS):
        raise InvalidInput(f"unknown method {shown(method)}; known methods: {', '.join((*METHODS, MAPS))}")
    options = ExplainOptions(
        method=method,
        layer=query.get("layer"),
        label=query.get("label"),
        versus=query.get("versus"),
        others=_integer(query, "others", 0, 0, MAX_OTHERS),
        grid=_integer(query, "grid", DEFAULT_GRID, MIN_GRID, MAX_GRID),
        curves=_flag(query, "curves"),
        flip=_flag(query, "flip"),
    )
    number = _integer(query, "map", 0, 0, MAX_MAP) if "map" in query else None
    return ExplainParameters(method == MAPS, options, number, _format(query))


def layers_parameters(request: Request) -> LayersParameters:
    """The parameters of `GET …/layers`; raises as `explain_parameters`."""
    query = _query(request, _LAYERS)
    return LayersParameters(query.get("layer"), _format(query))


def _query(request: Request, known: tuple[str, ...]) -> Mapping[str, str]:
    if len(request.scope["query_string"]) > MAX_QUERY_LENGTH:
        raise InvalidInput(f"the query has more than {MAX_QUERY_LENGTH:,} characters")
    query = request.query_params
    unknown = next((name for name in query if name not in known), None)
    if unknown is not None:
        raise InvalidInput(f"unknown query parameter {shown(unknown)}; known parameters: {', '.join(known)}")
    return query


def _integer(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and least <= int(text) <= most):
        raise InvalidInput(f"{name} must be an integer from {least} to {most:,}, not {shown(text)}")
    return int(text)


def _flag(query: Mapping[str, str], name: str) -> bool:
    text = query.get(name, "false")
    if text not in _FLAGS:
        raise InvalidInput(f"{name} must be true or false, not {shown(text)}")
    return _FLAGS[text]


def _format(query: Mapping[str, str]) -> Format:
    text = query.get("format", "json")
    if text not in FORMATS:
        raise InvalidInput(f"format must be one of {', '.join(FORMATS)}, not {shown(text)}")
    return cast(Format, text)
