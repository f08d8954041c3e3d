"""Counts the iterations of the event loop in which gRPC's library hands over many calls and messages.

`python -m tests.support.http.grpc_events_process` prints `Counted` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import grpc
import uvloop

from service.protocols.grpc.call_acceptors import CallAcceptors
from service.protocols.grpc.event_wakeups import emptied_wakeups
from tests.support.http.raw_http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    RawHttp2,
    frame,
    headers,
    prefixed,
)

METHOD = "/test.Service/Method"
CONNECTIONS = 8
CALLS = 800
ITERATION_SECONDS = 0.002
MAX_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Counted:
    """Iterations until all calls have begun, and until each has received the message that has arrived."""

    calls: int
    messages: int


class Service:
    def __init__(self) -> None:
        self.begun = self.received = 0

    async def respond(self, received: Any, context: Any) -> bytes:
        self.begun += 1
        await context.read()
        self.received += 1
        return b""


async def count() -> Counted:
    service = Service()
    with emptied_wakeups():
        server = grpc.aio.server()
    acceptors = CallAcceptors(server, ())
    acceptors.register({METHOD: grpc.stream_unary_rpc_method_handler(service.respond)})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    acceptors.start()
    with ExitStack() as stack:
        clients = [stack.enter_context(RawHttp2(f"127.0.0.1:{port}")) for _ in range(CONNECTIONS)]
        await asyncio.gather(*(asyncio.to_thread(client.wait_for_settings) for client in clients))
        block, message = headers(METHOD), prefixed(b"")
        calls = await _iterations(
            clients,
            lambda stream: frame(HEADERS, END_HEADERS, stream, block),
            lambda: service.begun == CALLS,
        )
        messages = await _iterations(
            clients,
            lambda stream: frame(DATA, END_STREAM, stream, message),
            lambda: service.received == CALLS,
        )
    await server.stop(None)
    return Counted(calls, messages)


def _iterations(
    clients: list[RawHttp2], sent: Callable[[int], bytes], ended: Callable[[], bool]
) -> Awaitable[int]:
    """The number of iterations, each of some milliseconds, after a frame of each call has arrived."""
    for client in clients:
        client.send(b"".join(sent(stream) for stream in range(1, 2 * CALLS // CONNECTIONS, 2)))
    loop, deadline = asyncio.get_running_loop(), time.monotonic() + MAX_SECONDS
    result: asyncio.Future[int] = loop.create_future()

    def iterate(number: int) -> None:
        end = time.perf_counter() + ITERATION_SECONDS
        while time.perf_counter() < end:
            pass
        if ended() or time.monotonic() > deadline:
            result.set_result(number)
        else:
            loop.call_soon(iterate, number + 1)

    iterate(1)
    return result


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(count()))))
