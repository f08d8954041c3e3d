"""Triton's log and trace settings, as far as they say anything here: to be read, and fixed at the start.

docs/protocol/extension_logging.md and extension_trace.md of Triton's server. Whoever may infer shall not be
able to change what is logged, so a change is refused; to ask for what is so already is no change.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from ...config.limits import JsonLimits
from ...errors import InvalidInput
from ..shared.json_body import parse_json

LOGS_FIXED = "CONVSERVE_LOG_LEVEL says at its start what is logged"
TRACES_FIXED = "it traces nothing"

_ADAPTER: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


def log_settings() -> dict[str, Any]:
    level = logging.getLogger().getEffectiveLevel()
    return {
        "log_file": "",
        "log_info": level <= logging.INFO,
        "log_warning": level <= logging.WARNING,
        "log_error": level <= logging.ERROR,
        "log_verbose_level": 1 if level <= logging.DEBUG else 0,
        "log_format": "default",
    }


def trace_settings() -> dict[str, Any]:
    """Nothing is traced; as Triton writes them, all values are strings or lists of strings."""
    return {
        "trace_level": ["OFF"],
        "trace_rate": "0",
        "trace_count": "-1",
        "log_frequency": "0",
        "trace_file": "",
        "trace_mode": "none",
    }


def read_wanted(body: bytes, limits: JsonLimits) -> Mapping[str, Any]:
    """The settings that a body asks for.

    Raises:
        InvalidInput: it is no JSON object.
        PayloadTooLarge: as `parse_json` raises it.
    """
    return parse_json(_ADAPTER, body or b"{}", limits, hint="; expected an object of settings")


def check_unchanged(settings: Mapping[str, Any], wanted: Mapping[str, Any], why: str) -> None:
    """Let pass what asks for no change; None asks for the default, which all of these have.

    Raises:
        InvalidInput: it asks for a change, or names no setting of these.
    """
    for name, value in wanted.items():
        if name not in settings:
            raise InvalidInput(f"there is no setting {name[:100]!r}; there are {', '.join(settings)}")
        if value is not None and as_list(value) != as_list(settings[name]):
            raise InvalidInput(f"{name} is fixed while the server runs; {why}")


def as_list(value: Any) -> list[Any]:
    """A value of a setting: Triton takes one for a list of one, and over gRPC knows lists only."""
    return value if isinstance(value, list) else [value]
