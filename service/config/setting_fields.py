"""The fields of settings: each has a group, under which it is listed, and a description."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from pydantic import Field


class Group(StrEnum):
    """The headings under which settings are listed, in this order."""

    NETWORK = "Network"
    MODELS = "Models"
    BATCHING = "Batching"
    ADMISSION = "Admission"
    REQUESTS = "Request limits"
    IMAGES = "Images"
    SECURITY = "Security"
    TLS = "TLS"
    CONNECTIONS = "Connection limits"
    SHUTDOWN = "Shutdown"
    TELEMETRY = "Logging and tracing"


def setting(
    group: Group,
    description: str,
    *,
    default: Any = None,
    default_factory: Callable[[], Any] | None = None,
    ge: float | None = None,
    le: float | None = None,
) -> Any:
    source = {"default": default} if default_factory is None else {"default_factory": default_factory}
    return Field(**source, ge=ge, le=le, description=description, json_schema_extra={"group": group.value})
