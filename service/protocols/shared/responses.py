"""JSON responses, errors in the form that every REST dialect uses, and readiness."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ...errors import ConvserveError, Overloaded
from ...inference.registry import Registry
from ...inference.timings import Timings
from .status_codes import STATUS_BY_ERROR

# Long enough to name every bad image of a request; short enough not to echo megabytes to a client.
MAX_MESSAGE_LENGTH = 64 * 1024

RawHeader = tuple[bytes, bytes]

JSON_CONTENT_TYPE: RawHeader = (b"content-type", b"application/json")


class EncodedResponse(Response):
    """A complete response whose headers are already encoded.

    Starlette's constructor encodes and completes the headers, which takes longer than writing the body.
    """

    body: bytes

    def __init__(
        self,
        body: bytes,
        *headers: RawHeader,
        status: int = 200,
        tail: Sequence[bytes | memoryview] = (),
    ) -> None:
        """`tail` is the rest of the body, in parts that are too large to be copied."""
        self.status_code = status
        self.body = body
        self.background = None
        length = len(body) + sum(map(len, tail))
        self.raw_headers = [(b"content-length", b"%d" % length), *headers]
        self._tail = tail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        part: bytes | memoryview = self.body
        for following in self._tail:
            await send({"type": "http.response.body", "body": part, "more_body": True})
            part = following
        await send({"type": "http.response.body", "body": part})


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`content` in JSON; infinity and NaN, which JSON cannot represent, become null."""
    return Response(to_json(content, inf_nan_mode="null"), status, headers, media_type="application/json")


def error_json(sentence: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """`{"error": "<sentence>"}`, which clients of every dialect understand."""
    return Response(_error_body(sentence), status, headers, media_type="application/json")


def _error_body(sentence: str) -> bytes:
    if len(sentence) > MAX_MESSAGE_LENGTH:
        sentence = f"{sentence[:MAX_MESSAGE_LENGTH]}…"
    return to_json({"error": sentence})


def error_response(error: ConvserveError) -> EncodedResponse:
    """An error with its status from the table; Overloaded adds Retry-After."""
    headers = [JSON_CONTENT_TYPE]
    if isinstance(error, Overloaded):
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    return EncodedResponse(_error_body(str(error)), *headers, status=STATUS_BY_ERROR[type(error)].http)


def server_timing(timings: Timings) -> tuple[bytes, bytes]:
    """The Server-Timing header (https://www.w3.org/TR/server-timing/), durations in milliseconds."""
    stages = ", ".join([f"{stage};dur={1e3 * seconds:.3f}" for stage, seconds in timings.stages()])
    return b"server-timing", stages.encode()


def state_of(registry: Registry) -> str:
    """`ready`, `loading`, `draining`, `hanging` or `failed` (the default model could not be loaded)."""
    if registry.hanging:
        return "hanging"
    if registry.ready:
        return "ready"
    if registry.draining:
        return "draining"
    return "failed" if registry.default_failure is not None else "loading"


def readiness_response(registry: Registry, content: Mapping[str, Any]) -> Response:
    """A dialect's readiness document: 200 when ready, otherwise 503 with an `error` beside its members."""
    if registry.ready:
        return json_response(content)
    return json_response({"error": f"the server is not ready: {_reason(registry)}", **content}, 503)


def _reason(registry: Registry) -> str:
    state, failure = state_of(registry), registry.default_failure
    if state != "failed" or failure is None:
        return state
    return f"the default model {failure.name} version {failure.version} is not served: {failure.reason}"
