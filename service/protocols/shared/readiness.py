"""What every dialect's probe is told of the server: whether requests should be sent here, and if not, why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from ...inference.registry import Registry
from .responses import json_response


def state_of(registry: Registry) -> str:
    if registry.hanging:
        return "hanging"
    if registry.ready:
        return "ready"
    return "draining" if registry.draining else "loading"


def readiness_response(registry: Registry, content: Mapping[str, Any]) -> Response:
    """`content`, which is the dialect's own; where the server is not ready, 503 and beside it an error."""
    if registry.ready:
        return json_response(content)
    return json_response({"error": f"the server is not ready: it is {state_of(registry)}", **content}, 503)
