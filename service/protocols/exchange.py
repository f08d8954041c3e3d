"""One request for inference and its answer: deadline, counting, and errors made replies, for any protocol."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ..classifier import Timings
from ..errors import ConvserveError, DeadlineExceeded, InvalidInput, ModelNotReady, Overloaded
from ..loaded_model import LoadedModel
from ..telemetry import Telemetry
from .replies import error_reply

# What nginx logs for a client that left before its answer; nobody receives it.
CLIENT_CLOSED_REQUEST = 499

_REASONS = {Overloaded: "overloaded", DeadlineExceeded: "deadline", ModelNotReady: "not_ready"}


class Exchange:
    """What is known of a request while it is answered.

    Attributes:
        model: what was asked, from the moment its name is resolved.
        timings: where the time went, once there is an answer.
        deadline: in the event loop's time.
    """

    __slots__ = ("deadline", "model", "request", "timings")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.model: LoadedModel | None = None
        self.timings: Timings | None = None
        self.deadline = float("inf")

    def set_deadline(self, default_seconds: float) -> None:
        """`X-Request-Timeout-Ms` from now on, or the default; in the event loop's time.

        Raises:
            InvalidInput: the header is not a positive number.
        """
        seconds = default_seconds
        header = self.request.headers.get("x-request-timeout-ms")
        if header is not None:
            try:
                seconds = float(header) / 1000
            except ValueError:
                seconds = 0.0
            if not 0 < seconds < float("inf"):
                raise InvalidInput(
                    f"X-Request-Timeout-Ms must be a positive number of milliseconds, not {header!r}"
                )
        self.deadline = asyncio.get_running_loop().time() + seconds


Answering = Callable[[Exchange], Awaitable[Response]]


def counted(
    telemetry: Telemetry, protocol: str, answer: Answering
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """An endpoint that answers by `answer`, turns domain errors into replies, and counts what came of it."""

    async def endpoint(request: Request) -> Response:
        started = time.perf_counter()
        exchange = Exchange(request)
        code = 500
        telemetry.inflight.inc()
        try:
            response = await answer(exchange)
            code = response.status_code
        except ConvserveError as error:
            response = error_reply(error)
            code = response.status_code
            _count_rejection(exchange.model, error)
        except ClientDisconnect:
            code = CLIENT_CLOSED_REQUEST
            response = Response(status_code=code)
        finally:
            telemetry.inflight.dec()
            _count(telemetry, protocol, exchange, code, time.perf_counter() - started)
        return response

    return endpoint


def _count_rejection(model: LoadedModel | None, error: ConvserveError) -> None:
    reason = _REASONS.get(type(error))
    if model is not None and reason is not None:
        model.metrics.rejected[reason].inc()


def _count(telemetry: Telemetry, protocol: str, exchange: Exchange, code: int, seconds: float) -> None:
    """A name that no model bears never becomes a label: such requests are counted under the empty name."""
    name = version = ""
    if (model := exchange.model) is not None:
        name, version = model.name, model.version
        if (spent := exchange.timings) is None:
            model.statistics.failed(seconds)
        else:
            model.statistics.answered(seconds, decode=spent.decode, queue=spent.queue, infer=spent.infer)
    telemetry.requests.labels(name, version, protocol, str(code)).inc()
    telemetry.request_duration.labels(name, protocol).observe(seconds)


class InferenceRoute(APIRoute):
    """A route whose endpoint takes the request as it is; FastAPI describes it and stays out of the way."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler
