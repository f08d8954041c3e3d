"""The bytes of a connection in the client budget, and the limits of what it may send."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from service.errors import BudgetExceeded
from service.http.connection_state import State
from service.http.input_buffer import PIECE_BYTES
from service.http.protocol import REQUEST_BYTES
from service.http.request_cycle import SLICE_BYTES
from service.http.scope_extensions import ACCOUNT
from service.http.time_limits import RATE_SECONDS
from service.telemetry.rejections import RejectionReason
from tests.unit.service.http.test_protocol import GET, POST, Bench, echo, on_bench, turns

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
MEBIBYTE = 1024 * 1024


def assert_sums_agree(bench: Bench) -> None:
    accounts = [account for peer in bench.budget.peers() for account in peer.accounts]
    assert bench.budget.held == sum(account.held for account in accounts)
    assert all(peer.held == sum(each.held for each in peer.accounts) for peer in bench.budget.peers())


async def sink(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body and responds with `done`."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


def gated(gate: asyncio.Event) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await echo(scope, receive, send)

    return app


@pytest.mark.parametrize(
    "endless",
    [
        b"a: " + b"x" * 96 + b"\r\n",  # more and more trailers
        b"x" * 100,  # one trailer that does not end
    ],
    ids=["many", "long"],
)
def test_trailers_over_the_limit_are_rejected(endless: bytes) -> None:
    async def test() -> None:
        bench = Bench(sink, max_head_bytes=4096)
        bench.send(CHUNKED + b"3\r\nabc\r\n0\r\nname: ")
        for _ in range(100):
            bench.send(endless)
        await turns()
        assert bench.written.startswith(b"HTTP/1.1 431 ")
        assert bench.counter.counts == {RejectionReason.LARGE_HEAD.value: 1}
        bench.connection.connection_lost(None)
        assert bench.budget.held == 0

    on_bench(test)


def test_chunk_extensions_over_the_limit_are_rejected() -> None:
    async def test() -> None:
        bench = Bench(sink, max_head_bytes=4096)
        bench.send(CHUNKED)
        for _ in range(100):
            bench.send(b"1;name=" + b"x" * 200 + b"\r\n!\r\n")
        await turns()
        assert bench.written.startswith(b"HTTP/1.1 431 ")
        assert b"chunk extensions" in bench.written

    on_bench(test)


def test_small_chunks_with_short_extensions_are_accepted() -> None:
    async def test() -> None:
        bench = Bench(sink, max_head_bytes=4096)
        bench.send(CHUNKED)
        for _ in range(10_000):
            bench.send(b"1;a=b\r\n!\r\n")
            await asyncio.sleep(0)
        bench.send(b"0\r\nchecksum: 1\r\n\r\n")
        await turns()
        assert bench.written.endswith(b"done")

    on_bench(test)


def test_trailers_are_no_headers_of_any_request() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append([name for name, _ in scope["headers"]])
        await sink(scope, receive, send)

    async def test() -> None:
        bench = Bench(app)
        bench.send(CHUNKED + b"0\r\nx-api-key: secret\r\n\r\n" + GET)
        await turns()
        assert bench.written.count(b"done") == 2
        assert seen == [[b"host", b"transfer-encoding"], [b"host"]]

    on_bench(test)


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_head_that_is_cut_in_two_behind_a_large_body_is_accepted(cut: int) -> None:
    async def test() -> None:
        bench = Bench(sink, max_head_bytes=1024)
        body = bytes(200_000)
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        following = GET[:-2] + b"name: " + b"x" * 500 + b"\r\n\r\n"
        bench.send(head)
        bench.send(body + following[:cut])
        bench.send(following[cut:])
        await turns()
        assert bench.written.count(b"HTTP/1.1 200 OK") == 2

    on_bench(test)


def test_pipelined_requests_are_parsed_only_as_far_as_they_are_served() -> None:
    async def test() -> None:
        gate = asyncio.Event()
        bench = Bench(gated(gate))
        count = 3 * PIECE_BYTES // len(GET)
        bench.send(GET * count)
        await turns()
        first = bench.budget.held
        assert first < 2 * PIECE_BYTES // len(GET) * REQUEST_BYTES
        bench.send(GET * count)  # arrives although reading is paused
        assert bench.budget.held == first + len(GET) * count
        assert bench.transport.pauses[-1] == "pause"
        assert_sums_agree(bench)
        gate.set()
        for _ in range(count):
            await turns()
        assert bench.written.count(b"HTTP/1.1 200 OK") == 2 * count
        assert bench.transport.pauses[-1] == "resume"
        assert bench.budget.held == 0

    on_bench(test)


def test_pipelined_requests_over_the_budget_are_rejected_after_the_response_in_progress() -> None:
    async def test() -> None:
        gate = asyncio.Event()
        bench = Bench(gated(gate), client_budget_bytes=MEBIBYTE)
        bench.send(GET * (2 * MEBIBYTE // len(GET)))
        assert bench.budget.held <= REQUEST_BYTES + PIECE_BYTES  # those that wait are released
        gate.set()
        await turns()
        assert bench.written.count(b"HTTP/1.1 200 OK") == 1
        assert bench.counter.counts == {RejectionReason.TOO_MANY_BYTES.value: 1}
        assert bench.transport.closed
        assert bench.budget.held == 0

    on_bench(test)


def test_large_response_waits_in_the_application() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(3 * SLICE_BYTES + 1)})

    async def test() -> None:
        bench = Bench(app)
        bench.send(GET)
        bench.connection.pause_writing()
        await turns()
        assert bench.written == b""
        bench.connection.resume_writing()
        await turns()
        head, _, body = bench.written.partition(b"\r\n\r\n")
        assert b"content-length: %d" % (3 * SLICE_BYTES + 1) in head
        assert len(body) == 3 * SLICE_BYTES + 1
        assert max(map(len, bench.transport.writes)) <= SLICE_BYTES + len(head) + 4
        assert bench.budget.held == 0

    on_bench(test)


def test_large_response_is_charged_until_it_is_written() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(4 * SLICE_BYTES)})

    async def test() -> None:
        bench = Bench(app)
        write = bench.transport.write

        def write_and_pause(data: bytes | bytearray | memoryview) -> None:
            write(data)
            bench.connection.pause_writing()

        bench.transport.write = write_and_pause  # type: ignore[method-assign]
        bench.send(GET)
        await turns()
        assert bench.budget.held >= 4 * SLICE_BYTES
        bench.connection.connection_lost(None)
        await turns()
        assert bench.budget.held == 0

    on_bench(test)


@pytest.mark.parametrize(
    ("size", "others", "status"),
    [(MEBIBYTE, 0, 413), (MEBIBYTE // 2, MEBIBYTE // 2, 429)],
    ids=["ever", "now"],
)
def test_response_that_the_budget_cannot_hold_becomes_an_error(size: int, others: int, status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"a/b")]})
        await send({"type": "http.response.body", "body": bytes(size)})

    async def test() -> None:
        bench = Bench(app, client_budget_bytes=MEBIBYTE)
        bench.budget.account("other").charge(others)
        bench.send(GET)
        await turns()
        assert bench.written.startswith(b"HTTP/1.1 %d " % status)
        assert b"CONVSERVE_CLIENT_BUDGET_BYTES" in bench.written
        bench.send(GET)
        await turns()
        assert bench.written.count(b"HTTP/1.1 %d " % status) == 2

    on_bench(test)


def test_client_that_does_not_read_is_cut_to_make_room() -> None:
    async def test() -> None:
        bench = Bench(echo, client_budget_bytes=MEBIBYTE)
        bench.transport.get_write_buffer_size = lambda: 600_000  # type: ignore[method-assign]
        bench.connection.pause_writing()
        await asyncio.sleep(0.001)  # the eviction compares times
        other = bench.budget.account("other")
        other.charge(400_000)
        assert bench.transport.aborted
        assert bench.budget.held == 400_000
        assert bench.counter.counts == {RejectionReason.SLOW_READER.value: 1}

    on_bench(test)


def test_upload_that_is_rejected_already_is_evicted_without_another_response() -> None:
    async def test() -> None:
        bench = Bench(sink)
        bench.send(POST.replace(b"3", b"999999"))
        await turns()
        (upload,) = [each for peer in bench.budget.peers() for each in peer.accounts if each.evict]
        evict = upload.evict
        assert evict is not None
        evict()
        evict()  # the task of the request has not ended yet
        assert bench.written.count(b"HTTP/1.1 429 ") == 1
        await turns()
        assert bench.budget.held == 0

    on_bench(test)


def test_stalled_body_is_rejected() -> None:
    async def test() -> None:
        bench = Bench(sink, min_body_rate=1000)
        now = asyncio.get_running_loop().time()
        bench.send(POST.replace(b"3", b"999999"))
        await turns()
        for second in range(1, 8):
            bench.connection.check(now + second)
            bench.send(bytes(2000))
            await turns()
        bench.connection.check(now + RATE_SECONDS + 1)
        assert bench.written == b""
        bench.connection.check(now + 2 * RATE_SECONDS + 2)
        assert bench.written.startswith(b"HTTP/1.1 408 ")
        assert b"less than 1000 bytes a second" in bench.written

    on_bench(test)


def test_body_that_the_application_does_not_read_is_not_slow() -> None:
    async def test() -> None:
        gate = asyncio.Event()
        bench = Bench(gated(gate))
        bench.send(POST.replace(b"3", b"999999") + bytes(100_000))
        await turns()
        now = asyncio.get_running_loop().time()
        for second in range(100):
            bench.connection.check(now + second)
        assert bench.written == b""
        gate.set()
        await turns()
        bench.connection.check(now + 101)
        assert bench.written == b""

    on_bench(test)


def test_request_is_charged_to_the_address_that_a_trusted_proxy_reports() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope[ACCOUNT].peer.identity)
        await sink(scope, receive, send)

    async def test() -> None:
        bench = Bench(app, trusted_proxies="127.0.0.0/8")
        forwarded = GET[:-2] + b"X-Forwarded-For: 203.0.113.1, 198.51.100.7\r\n\r\n"
        bench.send(forwarded + GET)
        await turns()
        assert seen == ["198.51.100.7", "127.0.0.1"]

    on_bench(test)


PIECES = (GET, POST, POST[:-1], CHUNKED, b"3\r\nabc\r\n", b"0\r\n\r\n", b"c", b"no request\r\n\r\n", GET[:9])
EVENTS = ("turns", "pause", "resume", "evict", "shutdown", "check", "fill", "free")


def sized_post(size: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)


ACTIONS = st.lists(
    st.one_of(st.sampled_from(PIECES), st.integers(0, 400_000), st.sampled_from(EVENTS)),
    max_size=30,
)


@settings(deadline=None)
@given(ACTIONS)
def test_budget_is_exact_on_every_path(actions: list[bytes | int | str]) -> None:
    """The sums agree after every step, and nothing is held once the connection and its tasks are gone."""

    async def test() -> None:
        bench = Bench(echo, client_budget_bytes=MEBIBYTE)
        other = bench.budget.account("other")
        for action in actions:
            match action:
                case bytes() | int() if not bench.transport.is_closing():
                    bench.send(action if isinstance(action, bytes) else sized_post(action))
                case "turns":
                    await turns()
                case "pause":
                    bench.connection.pause_writing()
                case "resume":
                    bench.connection.resume_writing()
                case "evict":
                    for account in [each for peer in bench.budget.peers() for each in peer.accounts]:
                        if account.evict is not None:
                            account.evict()
                            break
                case "shutdown":
                    bench.connection.shutdown()
                case "check":
                    bench.connection.check(asyncio.get_running_loop().time() + 100)
                case "fill" if not other.held:
                    with suppress(BudgetExceeded):  # what the connection holds may not be evictable
                        other.charge(300_000)
                case "free":
                    other.release(other.held)
            assert_sums_agree(bench)
        other.close()
        bench.connection.connection_lost(None)
        await turns()
        assert bench.connection._state is State.REJECTED
        assert bench.budget.held == 0
        assert not [account for peer in bench.budget.peers() for account in peer.accounts]

    on_bench(test)


def test_complete_request_behind_another_can_be_evicted() -> None:
    async def test() -> None:
        gate = asyncio.Event()
        bench = Bench(gated(gate))
        bench.send(sized_post(1000))
        bench.send(sized_post(1000))
        (waiting,) = [each for peer in bench.budget.peers() for each in peer.accounts if each.waiting]
        assert waiting.evict is not None
        waiting.evict()
        assert waiting.closed
        assert bench.counter.counts == {RejectionReason.TOO_MANY_BYTES.value: 1}
        gate.set()
        await turns()
        assert bench.written.count(b"HTTP/1.1 200 ") == 1
        assert bench.transport.is_closing()

    on_bench(test)


def test_probe_is_answered_although_its_client_holds_too_much() -> None:
    async def test() -> None:
        bench = Bench(sink, client_budget_bytes=MEBIBYTE)
        holder = bench.budget.account("127.0.0.1")
        holder.charge(MEBIBYTE * 7 // 8)
        bench.send(GET)
        await turns()
        assert bench.written.startswith(b"HTTP/1.1 429 ")
        probe = Bench(sink)
        probe.pool.budget = bench.budget
        probe.send(GET.replace(b"/ ", b"/livez "))
        await turns()
        assert probe.written.startswith(b"HTTP/1.1 200 ")

    on_bench(test)
