"""Triton's log and trace settings, read-only.

docs/protocol/extension_logging.md and extension_trace.md of Triton's server. Settings are fixed at startup:
a request may set one only to its current value.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from ...config.limits import JsonLimits
from ...errors import InvalidInput, shown
from ..shared.json_body import parse_json

LOGS_FIXED = "set CONVSERVE_LOG_LEVEL and restart it"
TRACES_FIXED = "it does not support Triton's traces"

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
    """Tracing is off. As in Triton, all values are strings or lists of strings."""
    return {
        "trace_level": ["OFF"],
        "trace_rate": "0",
        "trace_count": "-1",
        "log_frequency": "0",
        "trace_file": "",
        "trace_mode": "none",
    }


def parse_settings(body: bytes, limits: JsonLimits) -> Mapping[str, Any]:
    """The requested settings of a body.

    Raises:
        InvalidInput: it is not a JSON object.
        PayloadTooLarge: as `parse_json` raises it.
    """
    return parse_json(_ADAPTER, body or b"{}", limits, hint="; expected an object of settings")


def check_unchanged(settings: Mapping[str, Any], requested: Mapping[str, Any], reason: str) -> None:
    """Accept current values, and None, which resets a setting: all have their default.

    Raises:
        InvalidInput: a setting is unknown, or its requested value differs.
    """
    for name, value in requested.items():
        if name not in settings:
            raise InvalidInput(f"unknown setting {shown(name)}; known settings: {', '.join(settings)}")
        if value is not None and as_list(value) != as_list(settings[name]):
            raise InvalidInput(f"{name} is fixed while the server runs; {reason}")


def as_list(value: Any) -> list[Any]:
    """A setting's value as a list: Triton treats a value as a list of one, and gRPC has only lists."""
    return value if isinstance(value, list) else [value]
