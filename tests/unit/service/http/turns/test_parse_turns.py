"""Connections take turns to parse expensive bytes."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from service.http.turns.parse_turns import MAX_SECONDS, ParseTurns
from tests.support.http.raw_http import chunk
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import needs_procfs
from tests.support.server.server_process import ServerProcess
from tests.support.server.watched import assert_harmless

CONNECTIONS = 40
ROUNDS = 5
HEAD = b"POST /classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = chunk(b"x") * 40_000


def use_up(turns: ParseTurns) -> None:
    turns.begin()
    end = asyncio.get_running_loop().time() + MAX_SECONDS
    while asyncio.get_running_loop().time() <= end:
        pass
    turns.end()


def test_connections_share_the_time_of_an_iteration() -> None:
    turns = ParseTurns()
    order: list[str] = []

    def parse(name: str) -> None:
        order.append(name)
        use_up(turns)

    async def test() -> None:
        use_up(turns)
        assert turns.are_over
        for name in "ab":
            turns.wait(partial(parse, name))
        await asyncio.sleep(0)
        assert order == ["a"]
        await asyncio.sleep(0)
        assert order == ["a", "b"]
        await asyncio.sleep(0)
        assert not turns.are_over

    asyncio.run(test())


def test_connection_that_waits_twice_has_one_turn() -> None:
    calls: list[str] = []

    def resume() -> None:
        calls.append("resumed")

    async def test() -> None:
        turns = ParseTurns()
        turns.wait(resume)
        turns.wait(resume)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(test())
    assert len(calls) == 1


@pytest.mark.measures
def test_turns_of_many_connections_take_linear_time() -> None:
    count = 200_000
    resumed = 0

    def resume(number: int) -> None:
        nonlocal resumed
        resumed += 1

    async def test() -> None:
        turns = ParseTurns()
        for number in range(count):
            turns.wait(partial(resume, number))
        await asyncio.sleep(0)

    started = time.process_time()
    asyncio.run(test())
    assert resumed == count
    assert time.process_time() - started < 2


@needs_procfs
@pytest.mark.measures
def test_many_uploads_of_small_chunks_delay_no_other_client(shades: Path) -> None:
    def send(connection: socket.socket) -> None:
        with suppress(OSError):  # the body may be rejected
            connection.sendall(HEAD + CHUNKS * ROUNDS)

    def attack() -> None:
        with ExitStack() as stack:
            connections = [
                stack.enter_context(socket.create_connection(server.address, timeout=DEADLINE))
                for _ in range(CONNECTIONS)
            ]
            senders = [threading.Thread(target=send, args=(connection,)) for connection in connections]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()

    with ServerProcess(shades) as server:
        assert_harmless(server, attack)
