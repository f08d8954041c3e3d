"""One request for inference over HTTP and its answer: deadline, counting, and errors made replies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ...errors import ConvserveError, InvalidInput, ModelNotReady, Overloaded
from ...http.overload_cache import STANDING
from ...http.scope_extensions import CANCELLABLE, CLIENT_LEFT
from ...inference.model import LoadedModel
from ...telemetry.metrics import ServerMetrics
from .overload_response import DEADLINE, OverloadResponder
from .request_metrics import RequestMetrics
from .responses import error_response

# What nginx logs for a client that left before its answer; nobody receives it.
CLIENT_CLOSED_REQUEST = 499


# From what a path names to the model.
Resolve = Callable[[Mapping[str, str]], LoadedModel]


class InferenceContext(RequestMetrics):
    """What is known of a request over HTTP while it is answered."""

    __slots__ = ("_headers", "request")

    def __init__(self, request: Request, telemetry: ServerMetrics, protocol: str) -> None:
        super().__init__(telemetry, protocol, code="500")
        self.request = request
        self._headers: dict[bytes, bytes] = {}
        for name, value in request.scope["headers"]:
            self._headers.setdefault(name, value)

    @property
    def names(self) -> Mapping[str, str]:
        """What the path names."""
        names: Mapping[str, str] = self.request.scope["path_params"]
        return names

    def header(self, name: bytes) -> str | None:
        """The first header of this name, which is in lower case.

        Starlette's own mapping decodes every header at every look.
        """
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    def begin(
        self, resolve: Callable[[Mapping[str, str]], LoadedModel], default_seconds: float
    ) -> LoadedModel:
        """The model that the path names; from here on the request has a deadline.

        Where the model has no room, whoever asks for this URL next is told so at the door.

        Raises:
            ConvserveError: as `resolve` and `set_deadline` raise it.
        """
        self.model = resolve(self.names)
        try:
            self.set_deadline(default_seconds)
        except Overloaded:
            names = self.names
            self.request.scope[STANDING] = OverloadResponder(
                self._telemetry, self._protocol, lambda: resolve(names), default_seconds
            )
            raise
        return self.model

    def set_deadline(self, default_seconds: float) -> None:
        """`X-Request-Timeout-Ms` from now on, or the default.

        Raises:
            InvalidInput: the header is not a positive number.
            Overloaded: there is no hope to meet it.
        """
        seconds = default_seconds
        header = self.header(DEADLINE)
        if header is not None:
            try:
                seconds = float(header) / 1000
            except ValueError:
                seconds = 0.0
            if not 0 < seconds < float("inf"):
                raise InvalidInput(
                    f"X-Request-Timeout-Ms must be a positive number of milliseconds, not {header!r}"
                )
        self.expire_in(seconds)

    def shorten_deadline(self, seconds: float) -> None:
        """A deadline that the body names, from now on; one of the header's stays where it is earlier.

        Raises:
            Overloaded: there is no hope to meet it.
        """
        ends = asyncio.get_running_loop().time() + seconds
        if ends < self.deadline or self.header(DEADLINE) is None:
            self.expire_in(seconds)


Answering = Callable[[InferenceContext], Awaitable[Response]]
Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


def counted(telemetry: ServerMetrics, protocol: str, answer: Answering) -> Endpoint:
    """An endpoint that answers by `answer`, turns domain errors into replies, and counts what came of it."""

    async def endpoint(request: Request) -> Response:
        request.scope[CANCELLABLE] = True
        with InferenceContext(request, telemetry, protocol) as exchange:
            try:
                response = await answer(exchange)
                exchange.code = str(response.status_code)
            except ConvserveError as refusal:
                response = error_response(refusal)
                exchange.refuse(refusal, str(response.status_code))
            except asyncio.CancelledError as cancelled:
                if CLIENT_LEFT in cancelled.args:
                    exchange.code = str(CLIENT_CLOSED_REQUEST)
                    return Response(status_code=CLIENT_CLOSED_REQUEST)
                # Else the server cancels, and only when its time to shut down is over.
                error = ModelNotReady("the server is shutting down")
                response = error_response(error)
                exchange.refuse(error, str(response.status_code))
            except ClientDisconnect:
                response = Response(status_code=CLIENT_CLOSED_REQUEST)
                exchange.code = str(CLIENT_CLOSED_REQUEST)
        return response

    return endpoint


class InferenceRoute(APIRoute):
    """A route whose endpoint takes the request as it is; FastAPI describes it and stays out of the way."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler
