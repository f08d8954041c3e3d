"""TLS handshakes in both event loops, with real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import uvloop
from uvicorn.server import ServerState

from service.client_budget import ClientBudget
from service.config.limits import ConnectionLimits
from service.config.settings import Settings
from service.http.connection_pool import ConnectionPool
from service.http.connections.tls_listener import TlsListener
from service.telemetry.rejections import RejectionCounters
from tests.support.server.certificates import Authority
from tests.support.server.output_lines import DEADLINE
from tests.unit.service.http.test_protocol import Counter, responding

SIZE = 3
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


class Bench:
    """A listener on a free port of the running loop."""

    def __init__(self, authority: Authority, **limits: Any) -> None:
        pair = authority.sign("server")
        self.trusting = ssl.create_default_context(cafile=str(authority.certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self.counter = Counter()
        settings = Settings(max_connections=SIZE, **limits)
        self.pool = ConnectionPool(
            ConnectionLimits.of(settings), RejectionCounters(self.counter), ClientBudget(2**30)
        )
        config = uvicorn.Config(responding(b"whole"), lifespan="off", log_config=None)
        config.load()
        self.state = ServerState()
        self.socket = socket.create_server(("127.0.0.1", 0))
        connect = partial(self.pool.connect, config, self.state, {})
        self.listener = TlsListener(self.socket, context, self.pool, connect, admin=False)
        self.listener.start(100)

    async def plain(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.socket.getsockname())

    async def response(self) -> bytes:
        """The response to a request over a new connection."""
        reader, writer = await asyncio.open_connection(
            *self.socket.getsockname(), ssl=self.trusting, server_hostname="localhost"
        )
        writer.write(REQUEST)
        answer = await reader.read()
        writer.close()
        return answer

    async def all_closed(self) -> None:
        slots = self.pool.slots
        while slots.ordinary.taken or slots.closing.taken:
            await asyncio.sleep(0)

    async def close(self) -> None:
        self.listener.close()
        self.socket.close()
        await self.listener.wait_closed()
        await self.all_closed()


Test = Callable[[Bench], Awaitable[None]]


@pytest.fixture(params=LOOPS.values(), ids=list(LOOPS))
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """Runs a test with a bench in one of the event loops."""

    def run(test: Test, **limits: Any) -> None:
        async def main() -> None:
            bench = Bench(Authority(tmp_path), **limits)
            async with asyncio.timeout(DEADLINE):
                await test(bench)
                await bench.close()

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(main())

    return run


def test_requests_are_answered(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        for _ in range(2 * SIZE):
            assert (await bench.response()).endswith(b"whole")
        await bench.all_closed()
        assert bench.counter.counts == {}

    run(test)


def test_oldest_handshake_makes_room(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        clients = [await bench.plain() for _ in range(SIZE)]
        assert (await bench.response()).endswith(b"whole")
        with_end, *others = clients
        assert await with_end[0].read() == b""
        assert not any(reader.at_eof() for reader, _ in others)
        assert bench.counter.counts == {"evicted": 1}
        for _, writer in clients:
            writer.close()

    run(test)


def test_unfinished_handshake_times_out(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        reader, writer = await bench.plain()
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00")
        assert await reader.read() == b""
        await bench.all_closed()
        assert bench.counter.counts == {"slow_handshake": 1}
        writer.close()

    run(test, head_timeout_s=0.1)


def test_failed_handshake_frees_its_slot(run: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    async def test(bench: Bench) -> None:
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b""):
            _, writer = await bench.plain()
            writer.write(data)
            writer.close()
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection(
                *bench.socket.getsockname(), ssl=ssl.create_default_context(), server_hostname="localhost"
            )
        assert (await bench.response()).endswith(b"whole")
        await bench.all_closed()
        assert bench.counter.counts == {}

    run(test)
    assert caplog.text == ""


def test_closing_ends_unfinished_handshakes(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        reader, writer = await bench.plain()
        while not bench.pool.slots.ordinary.taken:
            await asyncio.sleep(0)
        bench.listener.close()
        assert await reader.read() == b""
        writer.close()

    run(test)
