"""Requests share the time of an iteration of the event loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from service.http.turns.request_turns import MAX_REQUESTS, MAX_SECONDS, MIN_REQUESTS, RequestTurns
from tests.support.manual_clock import ManualClock
from tests.support.server.procfs import needs_procfs
from tests.support.server.server_process import ROOT, ServerProcess
from tests.support.server.watched import assert_harmless
from tests.unit.service.http.test_protocol import GET, Bench, echo, on_bench, turns


def take(turns: RequestTurns, order: list[str], *names: str, is_first: bool = False) -> None:
    """Take a turn for each name; its first letter is the client."""
    for name in names:
        turns.take(partial(order.append, name), name[0], is_first=is_first)


def test_requests_of_an_iteration_are_as_many_as_the_loop_handles_in_time() -> None:
    async def test() -> None:
        clock = ManualClock()
        turns = RequestTurns(clock)
        order: list[str] = []
        take(turns, order, *("a" for _ in range(MAX_REQUESTS + 100)))
        assert len(order) == MAX_REQUESTS
        clock.advance(MAX_REQUESTS * MAX_SECONDS / 20)
        await asyncio.sleep(0)
        assert len(order) == MAX_REQUESTS + 20
        clock.advance(100)
        await asyncio.sleep(0)
        assert len(order) == MAX_REQUESTS + 20 + MIN_REQUESTS
        await asyncio.sleep(0)
        assert len(order) == MAX_REQUESTS + 100
        take(turns, order, "a")
        assert len(order) == MAX_REQUESTS + 101

    asyncio.run(test())


def test_clients_and_first_requests_take_turns() -> None:
    async def test() -> None:
        turns = RequestTurns(ManualClock())
        order: list[str] = []
        take(turns, [], *("x" for _ in range(MAX_REQUESTS)))
        take(turns, order, "a1", "a2", "a3", "a4")
        take(turns, order, "b1", "b2")
        take(turns, order, "a5", "a6", is_first=True)
        await asyncio.sleep(0)
        assert order == ["a1", "b1", "a5", "a2", "b2", "a6", "a3", "a4"]

    asyncio.run(test())


def exhaust(bench: Bench) -> None:
    """Let later requests wait for the next iteration."""
    for _ in range(MAX_REQUESTS):
        bench.pool.request_turns.take(lambda: None, "other", is_first=False)


def test_request_whose_client_leaves_before_its_turn_is_not_begun() -> None:
    called: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.append("app")

    async def test() -> None:
        bench = Bench(app)
        exhaust(bench)
        bench.send(GET)
        assert bench.budget.held
        bench.connection.connection_lost(None)
        assert not bench.budget.held
        await turns()
        assert not called

    on_bench(test)


def test_request_that_is_rejected_before_its_turn_is_not_begun() -> None:
    called: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.append("app")

    async def test() -> None:
        bench = Bench(app, body_timeout_s=1)
        exhaust(bench)
        bench.send(GET.replace(b"GET", b"POST").replace(b"Host: x", b"Content-Length: 9"))
        bench.connection.check(asyncio.get_running_loop().time() + 2)
        await turns()
        assert bench.written.startswith(b"HTTP/1.1 408 ")
        assert not called
        assert not bench.budget.held

    on_bench(test)


def test_end_of_a_body_waits_for_a_turn() -> None:
    async def test() -> None:
        bench = Bench(echo)
        bench.send(GET.replace(b"GET", b"POST").replace(b"Host: x", b"Content-Length: 3"))
        await turns()
        exhaust(bench)
        bench.send(b"abc")
        await asyncio.sleep(0)
        assert bench.written == b""
        await turns()
        assert bench.written.endswith(b"abc")

    on_bench(test)


SENDER = """
import selectors, socket, sys, time
host, port, path, connections, seconds = sys.argv[1:]
request = f"GET {path} HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n".encode()
requests = request * (65536 // len(request))
selector = selectors.DefaultSelector()
for _ in range(int(connections)):
    connection = socket.create_connection((host, int(port)))
    connection.setblocking(False)
    selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE, [0])
end = time.monotonic() + float(seconds)
while time.monotonic() < end:
    for key, events in selector.select(0.1):
        if events & selectors.EVENT_READ and not key.fileobj.recv(65536):
            sys.exit("a connection was closed")
        if events & selectors.EVENT_WRITE:  # whole requests, in whatever pieces the socket takes
            sent = key.fileobj.send(requests[key.data[0]:])
            key.data[0] = (key.data[0] + sent) % len(requests)
"""


@needs_procfs
@pytest.mark.measures
@pytest.mark.parametrize(("path", "connections"), [("/openapi.json", 40), ("/models", 40), ("/livez", 300)])
def test_pipelined_requests_of_many_connections_delay_no_other_client(
    shades: Path, path: str, connections: int
) -> None:
    def attack() -> None:
        host, port = server.address
        command = [sys.executable, "-c", SENDER, host, str(port), path, str(connections), "2"]
        subprocess.run(command, cwd=ROOT, check=True)

    with ServerProcess(shades) as server:
        assert_harmless(server, attack, wait=0.1)
