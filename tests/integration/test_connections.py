"""Connections that are too many, too slow, too large or malformed."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.http.client import HttpResponse, post
from tests.support.http.raw_http import beginning_after_trickle, chunk, connected, head, read_response
from tests.support.models.gray_classifier import image, level
from tests.support.server.eventually import eventually
from tests.support.server.metrics_page import MetricsPage, scrape_until
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import ServerProcess

BODY = image(level(7))
REQUEST = head(f"Content-Length: {len(BODY)}") + BODY
MAX_HEAD = 4096
MAX_HEADERS = 20
LARGE_BODY = 1_000_000
BUDGET = 4 * 1024 * 1024
LIMITS = {
    "max-head-bytes": MAX_HEAD,
    "max-headers": MAX_HEADERS,
    "client-budget-bytes": BUDGET,
    "head-timeout-s": 1,
    "body-timeout-s": 1,
    "write-timeout-s": 1,
}

# The argument is the reason of the expected rejection.
Expect = Callable[[str], None]


@pytest.fixture(scope="module")
def strict(shades: Path) -> Iterator[ServerProcess]:
    """A server with low limits and short timeouts."""
    arguments = [word for name, value in LIMITS.items() for word in (f"--{name}", str(value))]
    with ServerProcess(shades, *arguments) as server:
        yield server
        assert server.stderr.text == ""


@pytest.fixture
def expect_rejection(strict: ServerProcess) -> Expect:
    """Asserts that one more connection was rejected for a reason, and that the server still serves."""
    before = MetricsPage.scrape(strict.url)

    def expect(reason: str) -> None:
        counted = before.total("convserve_connection_rejections_total", reason=reason)
        scrape_until(
            strict.url,
            lambda page: (
                page.total("convserve_connection_rejections_total", reason=reason) > counted
                and page.is_idle()
            ),
        )
        assert post(f"{strict.url}/classify", BODY).status == 200

    return expect


def assert_closed(client: socket.socket) -> None:
    """Asserts that the server closes the connection without sending more."""
    assert client.recv(1) == b""


def assert_rejected(client: socket.socket, status: int) -> HttpResponse:
    response = read_response(client)
    assert response.status == status
    assert list(response.json) == ["error"]
    assert response.headers["connection"] == "close"
    assert_closed(client)
    return response


@pytest.mark.parametrize(
    "lines",
    [
        [b"X-Long: " + b"x" * MAX_HEAD],
        [b"X%d: %s" % (number, b"x" * 300) for number in range(15)],
        [b"X%d: x" % number for number in range(MAX_HEADERS)],
    ],
    ids=["long", "long-in-all", "many"],
)
@pytest.mark.parametrize("whole", [True, False])
def test_large_head_is_rejected(
    strict: ServerProcess, expect_rejection: Expect, lines: list[bytes], whole: bool
) -> None:
    data = b"\r\n".join([b"GET /models HTTP/1.1", b"Host: localhost", *lines, b"", b""])
    with connected(strict) as client:
        for piece in [data] if whole else [data[: len(data) // 2], data[len(data) // 2 :]]:
            client.sendall(piece)
        assert_rejected(client, 431)
    expect_rejection("large_head")


def test_endless_head_is_rejected(strict: ServerProcess, expect_rejection: Expect) -> None:
    with connected(strict) as client:
        client.sendall(b"GET /" + b"x" * MAX_HEAD)
        assert_rejected(client, 431)
    expect_rejection("large_head")


def test_head_of_the_allowed_size_may_precede_a_large_body(strict: ServerProcess) -> None:
    rest = 3 * MAX_HEAD
    with connected(strict) as client:
        client.sendall(head(f"Content-Length: {len(BODY) + rest}") + BODY + bytes(rest))
        assert read_response(client).status == 200


def assert_each_times_out(server: ServerProcess, reason: str, *sent: bytes) -> None:
    """Asserts that incomplete requests are rejected with 408; sends all at once to save time."""
    counted = MetricsPage.scrape(server.url).total("convserve_connection_rejections_total", reason=reason)
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(server)) for _ in sent]
        for client, data in zip(clients, sent, strict=True):
            client.sendall(data)
        for client in clients:
            assert_rejected(client, 408)
    page = MetricsPage.scrape(server.url)
    assert page.total("convserve_connection_rejections_total", reason=reason) == counted + len(sent)


def test_connection_without_a_request_times_out(strict: ServerProcess, expect_rejection: Expect) -> None:
    assert_each_times_out(strict, "slow_head", b"", b"POST /clas", REQUEST[:60], b"\r\n\r\n")
    expect_rejection("slow_head")


def test_incomplete_second_head_times_out(strict: ServerProcess, expect_rejection: Expect) -> None:
    with connected(strict) as client:
        client.sendall(REQUEST)
        assert read_response(client).status == 200
        client.sendall(REQUEST[:30])
        assert_rejected(client, 408)
    expect_rejection("slow_head")


def test_slow_head_times_out(strict: ServerProcess, expect_rejection: Expect) -> None:
    """The client sends single bytes, which do not extend the timeout."""
    with connected(strict) as client:
        client.settimeout(0.2)
        assert beginning_after_trickle(client) == b"HTTP/1.1 408"
    expect_rejection("slow_head")


def test_missing_body_times_out(strict: ServerProcess, expect_rejection: Expect) -> None:
    chunked = head("Transfer-Encoding: chunked") + chunk(BODY)
    assert_each_times_out(strict, "slow_body", REQUEST[:-10], chunked)
    expect_rejection("slow_body")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (REQUEST[:-10], 408),
        (head("Transfer-Encoding: chunked") + chunk(BODY[:9]) + b"no size\r\n", 400),
        (head("Transfer-Encoding: chunked") + b"0\r\nname: " + b"x" * 2 * MAX_HEAD, 431),
    ],
    ids=["late", "malformed", "long-trailer"],
)
def test_rejected_body_is_counted_and_logged_with_the_status_that_the_client_gets(
    shades: Path, sent: bytes, status: int
) -> None:
    arguments = ("--body-timeout-s", "1", "--max-head-bytes", str(MAX_HEAD), "--access-log")
    with ServerProcess(shades, *arguments) as server:
        with connected(server) as client:
            client.sendall(sent)
            assert_rejected(client, status)
        page = scrape_until(server.url, MetricsPage.is_idle)
        assert page.total("convserve_requests_total", code=str(status)) == 1
        assert page.total("convserve_requests_total") == 1
        server.stderr.wait_for(f"POST /classify.* status={status} .* code={status} ")


def test_bytes_after_the_last_response_are_discarded_until_a_limit(
    strict: ServerProcess, expect_rejection: Expect
) -> None:
    def cut_off() -> bool:
        assert post(f"{strict.url}/classify", BODY).status == 200
        try:
            client.sendall(b"x")
        except ConnectionError:
            return True
        return False

    with connected(strict) as client:
        client.sendall(head("Connection: close", f"Content-Length: {LARGE_BODY}", path="/nowhere"))
        assert read_response(client).status == 404
        eventually(cut_off)
    expect_rejection("slow_body")


def test_client_that_does_not_read_is_disconnected(strict: ServerProcess, expect_rejection: Expect) -> None:
    """The client requests more than the socket buffers hold, and never reads."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(DEADLINE)
        client.connect(strict.address)
        client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        expect_rejection("slow_reader")


def test_idle_connection_is_closed_after_an_early_response(shades: Path) -> None:
    """A response that does not wait for the body is sent before the rest of the body arrives."""
    with ServerProcess(shades, "--keep-alive-s", "1", "--max-body-bytes", str(len(BODY))) as server:
        with connected(server) as early, connected(server) as late:
            early.sendall(head(f"Content-Length: {LARGE_BODY}"))
            assert read_response(early).status == 413
            early.sendall(bytes(LARGE_BODY))
            late.sendall(REQUEST)
            assert read_response(late).status == 200
            assert_closed(early)
            assert_closed(late)
        assert server.stderr.text == ""


def test_slowest_upload_is_rejected_if_others_need_its_memory(
    strict: ServerProcess, expect_rejection: Expect
) -> None:
    half = BUDGET // 2
    with connected(strict) as slow, connected(strict) as fast:
        slow.sendall(head(f"Content-Length: {half + 1}") + bytes(half))
        scrape_until(strict.url, lambda page: page.total("convserve_inflight_requests") == 1)
        fast.sendall(head(f"Content-Length: {half}") + bytes(half))
        assert assert_rejected(slow, 429).headers["retry-after"] == "1"
        assert read_response(fast).status == 400
    expect_rejection("too_many_bytes")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the start of a TLS handshake
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        head("Transfer-Encoding: chunked") + b"x\r\n",
    ],
)
def test_malformed_http_is_rejected(strict: ServerProcess, expect_rejection: Expect, sent: bytes) -> None:
    with connected(strict) as client:
        client.sendall(sent)
        assert_rejected(client, 400)
    expect_rejection("malformed")


def test_malformed_http_after_a_request_keeps_its_response(strict: ServerProcess) -> None:
    with connected(strict) as client:
        client.sendall(REQUEST + b"NONSENSE\r\n\r\n")
        response = read_response(client)
        assert response.status == 200
        assert response.json["predictions"][0]["label"] == "shade 7"
        assert_closed(client)


def test_upgrade_to_http_2_is_ignored(strict: ServerProcess) -> None:
    """Java's client offers the upgrade with its first request."""
    fields = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB")
    with connected(strict) as client:
        client.sendall(head(*fields, f"Content-Length: {len(BODY)}") + BODY)
        assert read_response(client).status == 200
