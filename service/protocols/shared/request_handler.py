"""Wraps an inference handler as an HTTP endpoint, with a deadline, metrics and error responses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ...errors import ConvserveError, InvalidInput, ModelNotReady, Overloaded, shown
from ...http.scope_extensions import ACCOUNT, CANCELLABLE, CLIENT_DISCONNECTED, OVERLOAD_RESPONDER, REJECTED
from ...inference.model import LoadedModel
from ...telemetry.metrics import ServerMetrics
from .overload_responder import DEADLINE_HEADER, OverloadResponder
from .request_metrics import RequestMetrics
from .responses import error_response, server_timing

# Characters of a number in a header.
MAX_NUMBER_LENGTH = 40

# nginx's code for a client that disconnected before the response. No client receives it.
CLIENT_CLOSED_REQUEST = 499


def disconnected_status(scope: Mapping[str, Any]) -> int:
    """The status for the log and the metrics of a request whose client gets no response of the application.

    It is the status with which the protocol layer has rejected the request, such as 408 for a late body.
    """
    status: int = scope.get(REJECTED, CLIENT_CLOSED_REQUEST)
    return status


# Finds the model that a path's parameters name.
Resolve = Callable[[Mapping[str, str]], LoadedModel]


class InferenceContext(RequestMetrics):
    """The state of one inference request over HTTP.

    Attributes:
        headers: the first header of each name, which is in lower case.
    """

    __slots__ = ("headers", "request")

    def __init__(self, request: Request, telemetry: ServerMetrics, protocol: str) -> None:
        super().__init__(telemetry, protocol, code="500", account=request.scope.get(ACCOUNT))
        self.request = request
        # Of several headers of a name, the first counts.
        self.headers: dict[bytes, bytes] = dict(reversed(request.scope["headers"]))

    @property
    def path_params(self) -> Mapping[str, str]:
        parameters: Mapping[str, str] = self.request.scope["path_params"]
        return parameters

    def header(self, name: bytes) -> str | None:
        """The first header of this name, which is in lower case."""
        # Starlette's mapping decodes every header at every lookup.
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def resolve(self, find: Resolve, default_timeout: float) -> LoadedModel:
        """Find the model that the path names, and set the request's deadline.

        If the model's queue is full, further requests for the same URL are rejected in the protocol layer.

        Raises:
            ConvserveError: any that `find` or `set_deadline` raises.
        """
        model = find(self.path_params)
        self.bind(model)
        try:
            self.set_deadline(default_timeout)
        except Overloaded:
            parameters = self.path_params
            self.request.scope[OVERLOAD_RESPONDER] = OverloadResponder(
                self._telemetry, self._protocol, lambda: find(parameters), default_timeout
            )
            raise
        return model

    def set_deadline(self, default_timeout: float) -> None:
        """Set the deadline to `X-Request-Timeout-Ms` from now, or to the default in seconds.

        Raises:
            InvalidInput: the header is not a positive number.
            Overloaded: the model's queue cannot meet the deadline.
        """
        seconds = default_timeout
        header = self.header(DEADLINE_HEADER)
        if header is not None:
            try:
                seconds = float(header) / 1000 if len(header) <= MAX_NUMBER_LENGTH else 0.0
            except ValueError:
                seconds = 0.0
            if not 0 < seconds < float("inf"):
                raise InvalidInput(
                    f"X-Request-Timeout-Ms must be a positive number of milliseconds, not {shown(header)}"
                )
        self.expire_in(seconds)

    def shorten_deadline(self, seconds: float) -> None:
        """Set the deadline from the body, unless the header sets an earlier one.

        Raises:
            Overloaded: the model's queue cannot meet the deadline.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        if deadline < self.deadline or self.header(DEADLINE_HEADER) is None:
            self.expire_in(seconds)


InferenceHandler = Callable[[InferenceContext], Awaitable[Response]]
Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


def inference_endpoint(telemetry: ServerMetrics, protocol: str, handler: InferenceHandler) -> Endpoint:
    """Wrap a handler: its domain errors become responses, and every request is recorded."""

    async def endpoint(request: Request) -> Response:
        request.scope[CANCELLABLE] = True
        with InferenceContext(request, telemetry, protocol) as context:
            try:
                response = await handler(context)
                context.code = str(response.status_code)
                if context.timings is not None:
                    response.raw_headers.append(server_timing(context.timings))
            except ConvserveError as error:
                response = _record(context, error)
            except asyncio.CancelledError as cancelled:
                if CLIENT_DISCONNECTED in cancelled.args:
                    return _record_disconnect(context)
                # Otherwise the server cancelled the task, because its shutdown timeout has passed.
                response = _record(context, ModelNotReady("the server is shutting down"))
            except ClientDisconnect:
                response = _record_disconnect(context)
        return response

    return endpoint


def _record_disconnect(context: InferenceContext) -> Response:
    status = disconnected_status(context.request.scope)
    context.code = str(status)
    return Response(status_code=status)


def _record(context: InferenceContext, error: ConvserveError) -> Response:
    response = error_response(error)
    context.record_error(error, str(response.status_code))
    return response
