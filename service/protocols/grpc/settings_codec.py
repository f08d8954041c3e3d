"""Triton's log and trace settings over gRPC, where every value is a message."""

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


def tell_log_settings(request: LogSettingsRequest) -> LogSettingsResponse:
    """
    Raises:
        InvalidInput: the request asks for other ones.
    """
    settings = log_settings()
    check_unchanged(settings, {name: _chosen(value) for name, value in request.settings.items()}, LOGS_FIXED)
    answer = LogSettingsResponse()
    for name, value in settings.items():
        setattr(answer.settings[name], _LOG_FIELDS[type(value)], value)
    return answer


def _chosen(value: LogSettingValue) -> Any:
    choice = value.WhichOneof("parameter_choice")
    return None if choice is None else getattr(value, choice)


def tell_trace_settings(request: TraceSettingRequest) -> TraceSettingResponse:
    """
    Raises:
        InvalidInput: the request asks for other ones.
    """
    settings = trace_settings()
    # A setting is cleared by a value without elements.
    wanted = {name: list(value.value) or None for name, value in request.settings.items()}
    check_unchanged(settings, wanted, TRACES_FIXED)
    answer = TraceSettingResponse()
    for name, value in settings.items():
        answer.settings[name].value.extend(as_list(value))
    return answer
