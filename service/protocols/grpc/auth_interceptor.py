"""Authenticates gRPC calls by the API key in the metadata `authorization` or `x-api-key`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from ...client_budget.identity import key_identity
from ...errors import ConvserveError
from ...security.authorization import Authorizer, presented_key, scope_of_method
from .handlers import reject, rejecting_handler
from .limits.calls import key_of_call

if TYPE_CHECKING:  # generic only in the stubs
    _Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:
    _Interceptor = grpc.aio.ServerInterceptor


class AuthInterceptor(_Interceptor):
    """Authorizes each call before its message is read."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        needed = scope_of_method(handler_call_details.method)
        if needed is not None:
            metadata = handler_call_details.invocation_metadata or ()
            try:
                key = self._authorizer.authorize(
                    presented_key(_values(metadata, "authorization"), _values(metadata, "x-api-key")), needed
                )
                # Each call has a task and hence a context of its own, so nothing needs to reset it.
                key_of_call.set(key_identity(key.name))
            except ConvserveError as error:
                return rejecting_handler(partial(reject, error=error))
        return await continuation(handler_call_details)


def _values(metadata: Iterable[tuple[str, str | bytes]], name: str) -> list[bytes]:
    return [value.encode() if isinstance(value, str) else value for key, value in metadata if key == name]
