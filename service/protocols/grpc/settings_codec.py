"""Writes Triton's log and trace settings as gRPC messages, in which every value is a message."""

from __future__ import annotations

from typing import Any

from ..open_inference.read_only_settings import (
    LOGS_FIXED,
    TRACES_FIXED,
    as_list,
    check_unchanged,
    log_settings,
    trace_settings,
)
from .inference_pb2 import (
    LogSettingsRequest,
    LogSettingsResponse,
    LogSettingValue,
    TraceSettingRequest,
    TraceSettingResponse,
)

_LOG_FIELDS: dict[type, str] = {bool: "bool_param", int: "uint32_param", str: "string_param"}


def log_settings_response(request: LogSettingsRequest) -> LogSettingsResponse:
    """
    Raises:
        InvalidInput: the request changes a setting.
    """
    settings = log_settings()
    check_unchanged(settings, {name: _chosen(value) for name, value in request.settings.items()}, LOGS_FIXED)
    response = LogSettingsResponse()
    for name, value in settings.items():
        setattr(response.settings[name], _LOG_FIELDS[type(value)], value)
    return response


def _chosen(value: LogSettingValue) -> Any:
    choice = value.WhichOneof("parameter_choice")
    return None if choice is None else getattr(value, choice)


def trace_settings_response(request: TraceSettingRequest) -> TraceSettingResponse:
    """
    Raises:
        InvalidInput: the request changes a setting.
    """
    settings = trace_settings()
    # A value without elements clears the setting.
    wanted = {name: list(value.value) or None for name, value in request.settings.items()}
    check_unchanged(settings, wanted, TRACES_FIXED)
    response = TraceSettingResponse()
    for name, value in settings.items():
        response.settings[name].value.extend(as_list(value))
    return response
