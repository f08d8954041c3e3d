"""The protocol class on a transport that records what is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.client_budget import ClientBudget
from service.client_budget.identity import TrustedProxies
from service.config.limits import ConnectionLimits
from service.config.settings import Settings
from service.http.connection_pool import ConnectionPool
from service.http.connection_state import State
from service.http.overload_cache import OverloadCache
from service.http.scope_extensions import CANCELLABLE, CLIENT_DISCONNECTED, OVERLOAD_RESPONDER
from service.telemetry.rejections import RejectionCounters, RejectionReason
from tests.support.http.recording_transport import RecordingTransport

DEFAULT_HEADERS = [(b"date", b"today"), (b"x-content-type-options", b"nosniff")]
# Event-loop iterations; an application that does not wait responds in fewer.
TURNS = 50


class Counter:
    """Counts rejections by reason."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def labels(self, reason: str) -> Any:
        counter = self

        class Child:
            def inc(self) -> None:
                counter.counts[reason] = counter.counts.get(reason, 0) + 1

        return Child()


class Bench:
    """A connection of the class under test."""

    def __init__(self, app: ASGIApp, **limits: Any) -> None:
        settings = Settings(**limits)
        self.counter = Counter()
        self.budget = ClientBudget(settings.client_budget_bytes)
        self.pool = ConnectionPool(
            ConnectionLimits.of(settings),
            RejectionCounters(self.counter),
            self.budget,
            proxies=TrustedProxies.parse(settings.trusted_proxies),
        )
        self.config = uvicorn.Config(
            app, lifespan="off", log_config=None, access_log=False, proxy_headers=False
        )
        self.config.load()
        self.state = ServerState()
        self.state.default_headers = DEFAULT_HEADERS
        self.transport = RecordingTransport()
        self.connection = self.pool.connect(self.config, self.state, {})
        self.connection.connection_made(self.transport)

    def send(self, data: bytes) -> None:
        self.connection.data_received(data)

    @property
    def written(self) -> bytes:
        return b"".join(self.transport.writes)


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


def on_bench(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


def responding(*parts: bytes, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None) -> ASGIApp:
    """An application that reads the body and responds with `parts`, each a message."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": status, "headers": headers or []})
        for number, part in enumerate(parts, start=1):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})

    return app


def early(status: int = 413) -> ASGIApp:
    """An application that responds before it has read the body."""
    return_early = responding(b"no", status=status)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def nothing() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        await return_early(scope, nothing, send)

    return app


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    line = b"%b %b?%b %b" % (scope["method"].encode(), scope["raw_path"], scope["query_string"], body)
    length = [(b"content-length", b"%d" % len(line)), (b"Content-Type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": line})


GET = b"GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
CLOSING = POST.replace(b"Host: x", b"Host: x\r\nConnection: close")
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
CONVERSATIONS = {
    "get": [GET],
    "post": [POST],
    "close": [CLOSING],
    "http/1.0": [GET.replace(b"1.1", b"1.0")],
    "head": [GET.replace(b"GET", b"HEAD")],
    "chunked": [CHUNKED],
    "pipelined": [GET + POST + CLOSING],
    "in bytes": [POST[n : n + 1] for n in range(len(POST))],
    "two": [POST, GET],
    "continue": [POST[:-3].replace(b"Host: x", b"Host: x\r\nExpect: 100-Continue"), b"abc"],
    "absolute": [GET.replace(b"/a%20b", b"http://host/a")],
}
APPLICATIONS = {
    "echo": echo,
    "no content": responding(b"", status=204),
    "not modified": responding(b"", status=304),
    "in parts": responding(b"ab", b"", b"c", headers=[(b"content-length", b"3")]),
    "chunked": responding(b"ab", b"c"),
    "closing": responding(b"a", headers=[(b"content-length", b"1"), (b"Connection", b"close")]),
}


@pytest.mark.parametrize("app", APPLICATIONS.values(), ids=APPLICATIONS.keys())
@pytest.mark.parametrize("sent", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_bytes_match_uvicorns_protocol(sent: list[bytes], app: ASGIApp) -> None:
    async def converse(make: Callable[[Bench], Any]) -> tuple[bytes, bool]:
        bench = Bench(app)
        transport = RecordingTransport()
        connection = make(bench)
        connection.connection_made(transport)
        for piece in sent:
            connection.data_received(piece)
            await turns()
        return b"".join(transport.writes), transport.closed

    async def test() -> None:
        ours = await converse(lambda bench: bench.pool.connect(bench.config, bench.state, {}))
        theirs = await converse(lambda bench: HttpToolsProtocol(bench.config, bench.state, {}))
        # HTTP/1.0 has no chunks, so our protocol sends the plain body and closes the connection.
        if b"HTTP/1.0" in sent[0]:
            content = theirs[0].replace(b"transfer-encoding: chunked\r\n", b"")
            theirs = content.replace(b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"), theirs[1]
        assert ours == theirs

    on_bench(test)


@pytest.mark.parametrize("app", [echo, responding(b"whole"), responding(b"ab", b"c")])
def test_head_is_written_with_the_first_part_of_the_body(app: ASGIApp) -> None:
    async def test() -> None:
        bench = Bench(app)
        bench.send(POST)
        await turns()
        head, _, body = bench.transport.writes[0].partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert body

    on_bench(test)


def test_complete_response_gets_a_content_length() -> None:
    async def test() -> None:
        bench = Bench(responding(b"whole"))
        bench.send(GET)
        await turns()
        assert bench.transport.writes[0].endswith(b"content-length: 5\r\n\r\nwhole")
        assert len(bench.transport.writes) == 1

    on_bench(test)


def test_response_waits_for_a_client_that_does_not_read() -> None:
    async def test() -> None:
        bench = Bench(echo)
        bench.connection.pause_writing()
        bench.send(POST)
        await turns()
        assert bench.written == b""
        bench.connection.resume_writing()
        await turns()
        assert bench.written.endswith(b"POST /? abc")

    on_bench(test)


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (b"NONSENSE\r\n\r\n", 400, RejectionReason.MALFORMED),
        (b"CONNECT host:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400, RejectionReason.MALFORMED),
        (b"GET /\xe4 HTTP/1.1\r\nHost: x\r\n\r\n", 400, RejectionReason.MALFORMED),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 2000, 431, RejectionReason.LARGE_HEAD),
        (b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 9 + b"\r\n", 431, RejectionReason.LARGE_HEAD),
        (POST[:-3].replace(b"3", b"9999999") + bytes(2**20), 413, RejectionReason.TOO_MANY_BYTES),
    ],
)
def test_rejection_has_the_headers_of_every_response(
    sent: bytes, status: int, reason: RejectionReason
) -> None:
    async def test() -> None:
        bench = Bench(echo, max_head_bytes=1000, max_headers=8, client_budget_bytes=2**20)
        bench.send(sent)
        await turns()
        (written,) = bench.transport.writes
        assert written.startswith(b"HTTP/1.1 %d " % status)
        for line in (b"date: today", b"x-content-type-options: nosniff", b"connection: close"):
            assert b"\r\n" + line + b"\r\n" in written
        assert (b"retry-after: 1" in written) == (status == 429)
        assert written.partition(b"\r\n\r\n")[2].startswith(b'{"error": "')
        assert bench.counter.counts == {reason.value: 1}
        assert bench.transport.half_closed
        assert not bench.transport.closed
        bench.send(b"more")
        assert len(bench.transport.writes) == 1

    on_bench(test)


@pytest.mark.parametrize(
    ("sent", "reason", "waits"),
    [
        (b"", RejectionReason.SLOW_HEAD, 408),
        (b"GET", RejectionReason.SLOW_HEAD, 408),
        (POST[:-1], RejectionReason.SLOW_BODY, 408),
    ],
)
def test_slow_client_is_rejected_and_disconnected(sent: bytes, reason: RejectionReason, waits: int) -> None:
    async def test() -> None:
        bench = Bench(echo, head_timeout_s=5, body_timeout_s=5)
        bench.send(sent)
        await turns()
        now = asyncio.get_running_loop().time()
        bench.connection.check(now + 4)
        assert bench.written == b""
        bench.connection.check(now + 6)
        assert bench.written.startswith(b"HTTP/1.1 %d " % waits)
        assert bench.counter.counts == {reason.value: 1}
        bench.connection.check(asyncio.get_running_loop().time() + 3)
        assert bench.transport.aborted

    on_bench(test)


def test_idle_connection_is_closed_after_the_timeout() -> None:
    async def test() -> None:
        bench = Bench(echo)
        bench.send(GET)
        await turns()
        now = asyncio.get_running_loop().time()
        bench.connection.check(now + bench.config.timeout_keep_alive - 1)
        assert not bench.transport.closed
        bench.connection.check(now + bench.config.timeout_keep_alive + 1)
        assert bench.transport.closed

    on_bench(test)


def test_connection_stays_open_during_a_request() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def test() -> None:
        bench = Bench(app)
        bench.send(GET)
        await turns()
        bench.connection.check(asyncio.get_running_loop().time() + 1e6)
        assert not bench.transport.is_closing()
        (task,) = bench.state.tasks
        task.cancel()
        await turns()
        assert bench.written.startswith(b"HTTP/1.1 500 ")

    on_bench(test)


def test_rest_of_a_body_is_discarded_after_the_response() -> None:
    async def test() -> None:
        bench = Bench(early())
        bench.send(POST[:-3])
        await turns()
        assert bench.written.startswith(b"HTTP/1.1 413 ")
        assert not bench.transport.is_closing()
        bench.send(b"abc" + GET)
        await turns()
        assert bench.written.count(b"HTTP/1.1 413 ") == 2
        assert bench.budget.held == 0

    on_bench(test)


def test_response_releases_the_body_of_its_own_request_alone() -> None:
    async def test() -> None:
        gate = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/second":
                await gate.wait()
            await echo(scope, receive, send)

        bench = Bench(app)
        bench.send(POST + POST.replace(b"POST /", b"POST /second"))
        both = bench.budget.held
        await turns()
        second = bench.budget.held
        gate.set()
        await turns()
        assert both > second > 0
        assert bench.budget.held == 0

    on_bench(test)


def test_overload_is_cached_by_a_response_that_closes_the_connection() -> None:
    responder = object()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope[OVERLOAD_RESPONDER] = lambda headers: responder
        await echo(scope, receive, send)

    async def test() -> None:
        bench = Bench(app)
        bench.pool.overload_cache = cache = OverloadCache()
        bench.send(CLOSING)
        await turns()
        assert bench.transport.closed
        assert cache.find(b"POST", b"/", []) is responder

    on_bench(test)


def test_trailer_is_not_a_header() -> None:
    headers: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        headers.extend(name for name, _ in scope["headers"])

    async def test() -> None:
        bench = Bench(app)
        bench.send(CHUNKED.replace(b"0\r\n\r\n", b"0\r\nX-API-Key: a\r\n\r\n") + GET)
        await turns()
        assert bench.written.count(b"HTTP/1.1 200 OK") == 2
        assert headers == [b"host", b"transfer-encoding", b"host"]

    on_bench(test)


def test_close_waits_for_the_rest_of_the_body() -> None:
    async def test() -> None:
        bench = Bench(early())
        bench.send(CLOSING[:-3])
        await turns()
        assert b"connection: close" in bench.written
        assert bench.transport.half_closed
        assert not bench.transport.closed
        bench.send(b"abc")
        assert bench.transport.closed

    on_bench(test)


def test_response_before_a_malformed_request_is_completed() -> None:
    async def test() -> None:
        bench = Bench(echo)
        bench.send(POST + b"NONSENSE\r\n\r\n")
        await turns()
        assert bench.written.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close" in bench.written
        assert bench.written.count(b"HTTP/1.1") == 1
        assert bench.transport.closed

    on_bench(test)


def test_upgrade_header_is_ignored() -> None:
    offer = CLOSING.replace(b"Connection: close", b"Connection: Upgrade, close\r\nUpgrade: h2c")

    async def test() -> None:
        for sent in (offer, offer + b"data behind the last request"):
            bench = Bench(echo)
            bench.send(sent)
            await turns()
            assert bench.written.startswith(b"HTTP/1.1 200 OK\r\n")
            assert bench.written.endswith(b"POST /? abc")

    on_bench(test)


def test_upgrade_headers_of_many_pipelined_requests_are_ignored() -> None:
    offer = b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"

    async def test() -> None:
        bench = Bench(echo)
        bench.send(offer * 1200 + CLOSING)  # more than Python's limit of recursion
        while not bench.transport.closed:
            await turns()
        assert bench.written.count(b"HTTP/1.1 200 OK\r\n") == 1201
        assert bench.written.endswith(b"POST /? abc")

    on_bench(test)


def test_application_that_fails_before_its_first_byte_gets_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise LookupError("of the application")

    async def test() -> None:
        bench = Bench(app)
        bench.send(GET)
        await turns()
        assert bench.written.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert b"details are in the server's log" in bench.written
        assert bench.transport.closed

    on_bench(test)
    assert "of the application" in caplog.text


@pytest.mark.parametrize(
    "app",
    [
        responding(b"abc", headers=[(b"content-length", b"2")]),
        responding(b"abc", headers=[(b"content-length", b"4")]),
        responding(b"", headers=[(b"x", b"a\r\nb: c")]),
    ],
)
def test_inconsistent_response_is_a_500(app: ASGIApp, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        bench = Bench(app)
        bench.send(GET)
        await turns()
        assert bench.written.startswith(b"HTTP/1.1 500 ")
        assert bench.written.count(b"HTTP/1.1") == 1

    on_bench(test)
    assert "RuntimeError" in caplog.text


def test_disconnect_cancels_an_application_that_opts_in() -> None:
    ended: list[tuple[Any, ...]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope[CANCELLABLE] = True
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as cancelled:
            ended.append(cancelled.args)

    async def test() -> None:
        bench = Bench(app)
        bench.send(GET)
        await turns()
        bench.connection.connection_lost(None)
        await turns()
        assert ended == [(CLIENT_DISCONNECTED,)]
        assert bench.written == b""
        assert bench.connection not in bench.state.connections  # type: ignore[comparison-overlap]

    on_bench(test)


def test_receive_reports_a_disconnect() -> None:
    received: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(3):
            received.append((await receive())["type"])

    async def test() -> None:
        bench = Bench(app)
        bench.send(POST)
        await turns()
        assert received == ["http.request"]
        bench.connection.connection_lost(None)
        await turns()
        assert received == ["http.request", "http.disconnect", "http.disconnect"]

    on_bench(test)


def test_shutdown_closes_idle_connections_and_completes_responses() -> None:
    async def test() -> None:
        idle, busy = Bench(echo), Bench(echo)
        idle.connection.shutdown()
        assert idle.transport.closed
        busy.send(POST[:-1])
        await turns()
        busy.connection.shutdown()
        assert not busy.transport.is_closing()
        busy.send(POST[-1:])
        await turns()
        assert b"connection: close" in busy.written
        assert busy.transport.closed

    on_bench(test)


def test_reading_pauses_while_a_body_is_not_consumed() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await echo(scope, receive, send)

    async def test() -> None:
        bench = Bench(app)
        size = 100_000
        bench.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (2 * size) + bytes(size))
        await turns()
        assert bench.transport.pauses == ["pause"]
        gate.set()
        await turns()
        assert bench.transport.pauses == ["pause", "resume"]
        bench.send(bytes(size))
        await turns()
        assert bench.written.endswith(bytes(2 * size))

    on_bench(test)


def test_every_state_is_reached() -> None:
    """One connection passes through its states in this order."""

    async def test() -> None:
        bench = Bench(early())
        states = [bench.connection._state]
        for piece in (CLOSING[:-3].replace(b"Connection: close\r\n", b""), b"", b"abc", CLOSING[:-3], b""):
            bench.send(piece) if piece else await turns()
            states.append(bench.connection._state)
        assert states == [
            State.HEAD,
            State.BODY,
            State.DISCARDING,
            State.IDLE,
            State.BODY,
            State.LINGERING,
        ]

    on_bench(test)
