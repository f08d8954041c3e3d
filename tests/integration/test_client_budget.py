"""The memory that one HTTP client can make the server hold, and the time that others wait meanwhile."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from PIL import Image

from tests.support.http.client import post
from tests.support.http.raw_http import chunk, connected, head, read_response
from tests.support.models.gray_classifier import image, level
from tests.support.server.metrics_page import MetricsPage, scrape_until
from tests.support.server.procfs import memory, needs_procfs
from tests.support.server.server_process import ServerProcess
from tests.support.server.watched import MAX_GROWTH, MEBIBYTE, assert_harmless, watched

pytestmark = [needs_procfs, pytest.mark.measures]

BODY = image(level(7))
# An attack ends when it has sent this much, or when it is cut off.
ATTACK_BYTES = 64 * MEBIBYTE
# The budget, and the memory of the engine.
MANY_CLIENTS = 450 * MEBIBYTE


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """The shipped models with the default settings."""
    with ServerProcess(None) as server:
        yield server
        assert post(f"{server.url}/classify", BODY).status == 200
        assert server.stderr.text == ""


def send_until_cut(client: socket.socket, piece: bytes, count: int) -> None:
    with suppress(ConnectionError):
        for _ in range(count):
            client.sendall(piece)


def rejections(server: ServerProcess, reason: str) -> float:
    return MetricsPage.scrape(server.url).total("convserve_connection_rejections_total", reason=reason)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (chunk(b"")[:-2], b"name: " + b"x" * 90 + b"\r\n"),
        (chunk(b"")[:-2] + b"name: ", b"x" * 65536),
        (b"1;", b"x" * 65536),
        (b"", (b"1;a=" + b"b" * 90 + b"\r\n!\r\n") * 600),
        (b"", b"1\r\n!\r\n" * 10_000),
    ],
    ids=["many-trailers", "long-trailer", "long-extension", "many-extensions", "small-chunks"],
)
def test_framing_of_a_body(server: ServerProcess, begin: bytes, piece: bytes) -> None:
    def attack() -> None:
        with connected(server) as client:
            client.sendall(head("Transfer-Encoding: chunked") + begin)
            send_until_cut(client, piece, ATTACK_BYTES // len(piece))

    before = rejections(server, "large_head")
    assert_harmless(server, attack)
    if b"1\r\n!" not in piece:
        assert rejections(server, "large_head") > before


@pytest.mark.parametrize("first", [head("Content-Length: 100000"), b""], ids=["behind-a-post", "alone"])
def test_pipelined_requests(server: ServerProcess, first: bytes) -> None:
    pipelined = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 2000

    def attack() -> None:
        with connected(server) as client:
            client.settimeout(3)
            client.sendall(first + (bytes(100000) if first else b""))
            with suppress(TimeoutError):
                send_until_cut(client, pipelined, 16 * MEBIBYTE // len(pipelined))

    assert_harmless(server, attack)


def maps_request(side: int) -> bytes:
    """A request of a few kilobytes for the feature maps of a square image, as raw numbers."""
    buffer = io.BytesIO()
    Image.new("L", (side, side)).save(buffer, "PNG")
    element = len(buffer.getvalue()).to_bytes(4, "little") + buffer.getvalue()
    tensor: dict[str, Any] = {"name": "pixels", "shape": [1], "datatype": "BYTES"}
    tensor["parameters"] = {"binary_data_size": len(element)}
    outputs = [{"name": "maps", "parameters": {"binary_data": True}}]
    document = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
    fields = (
        f"Content-Length: {len(document) + len(element)}",
        f"Inference-Header-Content-Length: {len(document)}",
    )
    return head(*fields, path="/v2/models/filters/infer") + document + element


@pytest.mark.parametrize(
    ("side", "clients", "growth"), [(2048, 1, MAX_GROWTH), (724, 40, MANY_CLIENTS), (2048, 40, MANY_CLIENTS)]
)
def test_unread_feature_maps(server: ServerProcess, side: int, clients: int, growth: int) -> None:
    """Clients request feature maps of up to 64 MiB each, and read none."""
    request = maps_request(side)

    def attack() -> None:
        with ExitStack() as stack:
            attackers = [stack.enter_context(connected(server)) for _ in range(clients)]
            for attacker in attackers:
                attacker.sendall(request)
            for attacker in attackers:
                attacker.recv(12)

    assert_harmless(server, attack, growth=growth)


def test_memory_is_returned_after_an_attack(server: ServerProcess) -> None:
    request = maps_request(724)
    with watched(server) as watch:
        with ExitStack() as stack:
            attackers = [stack.enter_context(connected(server)) for _ in range(40)]
            for attacker in attackers:
                attacker.sendall(request)
            for attacker in attackers:
                attacker.recv(12)
        scrape_until(server.url, MetricsPage.is_idle)
    assert memory(server.pid, "VmRSS") < watch.report.start + 60 * MEBIBYTE


def test_half_sent_bodies_do_not_lock_out_others(server: ServerProcess) -> None:
    """Sixteen clients send half of 32 MiB each; another client's small requests are served meanwhile."""
    size = 31 * MEBIBYTE

    def attack() -> None:
        with ExitStack() as stack, ThreadPoolExecutor(16) as threads:
            clients = [stack.enter_context(connected(server)) for _ in range(16)]

            def send_half(client: socket.socket) -> None:
                with suppress(ConnectionError):
                    client.sendall(head(f"Content-Length: {size}") + bytes(size // 2))

            list(threads.map(send_half, clients))
            for _ in range(50):
                assert post(f"{server.url}/classify", BODY).status == 200

    assert_harmless(server, attack, growth=MANY_CLIENTS)


def test_endless_head(server: ServerProcess) -> None:
    def attack() -> None:
        with connected(server) as client:
            client.sendall(b"GET / HTTP/1.1\r\nname: ")
            send_until_cut(client, b"x" * 65536, 256)

    assert_harmless(server, attack)


def test_many_unfinished_heads(server: ServerProcess) -> None:
    def attack() -> None:
        with ExitStack() as stack:
            clients = [stack.enter_context(connected(server)) for _ in range(500)]
            for client in clients:
                client.sendall(b"GET / HTTP/1.1\r\n" + b"name: " + b"x" * 30_000)

    assert_harmless(server, attack)


def test_response_in_progress_survives_an_attack(server: ServerProcess) -> None:
    """A response that is read while another client attacks is complete."""
    with connected(server) as client, connected(server) as attacker:
        client.sendall(head(f"Content-Length: {len(BODY)}") + BODY)
        attacker.sendall(head("Transfer-Encoding: chunked") + b"0\r\n")
        send_until_cut(attacker, b"name: " + b"x" * 90 + b"\r\n", 10_000)
        assert read_response(client).status == 200
