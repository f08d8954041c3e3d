"""Accepts several calls of a method at a time.

gRPC's library accepts one at a time, and each takes it five iterations of the event loop. While iterations
are long, as under an attack, a hundred calls of one client would keep others waiting for seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

# In quotes, because this is generic only in the stubs.
MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

# Calls of a method that are accepted in two iterations of the event loop. Each takes a few kB.
AT_A_TIME = 32


class CallAcceptors:
    """Accepts the calls of registered methods, besides the library's own loop.

    It uses undocumented functions of the library.
    """

    def __init__(self, server: grpc.aio.Server, interceptors: Sequence[Any]) -> None:
        self._server = server
        self._interceptors = tuple(interceptors)
        self._handlers: dict[str, MethodHandler] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def register(self, handlers: Mapping[str, MethodHandler]) -> None:
        """Add methods in the form `/package.Service/Method`, before the server is started."""
        server: Any = self._server
        for method, handler in handlers.items():
            service, _, name = method[1:].rpartition("/")
            server.add_registered_method_handlers(service, {name: handler})
        self._handlers |= handlers

    def start(self) -> None:
        """Begin to accept; the library ends it when the server stops."""
        for method in self._handlers:
            for _ in range(AT_A_TIME):
                self._begin(method)

    def resolve_handler(self, details: grpc.HandlerCallDetails) -> MethodHandler:
        """The handler of a call; the library calls this after the interceptors."""
        return self._handlers[details.method]

    async def _accept(self, method: str) -> None:
        library: Any = cygrpc
        server: Any = self._server._server  # type: ignore[attr-defined]
        loop, encoded = asyncio.get_running_loop(), method.encode()
        try:
            state = await server._request_registered_call(encoded)
        except library._RequestCallError:  # the server stops
            return
        if server.is_running():
            self._begin(method)
        # This task handles the call, as a new task would take another iteration of the event loop.
        handling = library._handle_rpc(method, self, self._interceptors, state, loop, False)
        await library._schedule_rpc_coro(handling, state, loop, method)

    def _begin(self, method: str) -> None:
        task = asyncio.create_task(self._accept(method))
        self._tasks.add(task)  # the event loop only has weak references
        task.add_done_callback(self._tasks.discard)
