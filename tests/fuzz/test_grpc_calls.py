"""Fuzzes a server process with gRPC calls of every kind, as bytes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from hypothesis import given

from service.protocols.grpc.servicer import SERVICE
from tests.support.requests.fuzzed_messages import GOOD, Call, calls
from tests.support.requests.memory_growth import MAY_GROW, growth, many
from tests.support.server.metrics_page import MetricsPage, scrape_until
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import needs_procfs
from tests.support.server.server_process import FREE_GRPC_PORT, ServerProcess

Code = grpc.StatusCode
EXPECTED = {
    Code.OK,
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    Code.RESOURCE_EXHAUSTED,
    Code.DEADLINE_EXCEEDED,
    Code.UNIMPLEMENTED,
}


@pytest.fixture(scope="module")
def own(shades: Path) -> Iterator[ServerProcess]:
    with ServerProcess(shades, *FREE_GRPC_PORT) as server:
        yield server
        assert server.stderr.text == ""


@pytest.fixture(scope="module")
def channel(own: ServerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(own.grpc_address) as channel:
        yield channel


def ask(channel: grpc.Channel, call: Call) -> Code:
    """The status of a call; a server that hangs exceeds the client's deadline."""
    sent = channel.unary_unary(f"/{SERVICE.full_name}/{call.method}", bytes, bytes).future(
        call.data, timeout=DEADLINE
    )
    code, details = sent.code(), sent.details()
    assert code in EXPECTED, (code, details)
    assert details != "Deadline Exceeded"
    return code


def assert_serves(server: ServerProcess, channel: grpc.Channel) -> None:
    """Asserts that the queue is empty, and that valid calls succeed."""
    scrape_until(server.url, MetricsPage.is_idle)
    for call in GOOD:
        assert ask(channel, call) == Code.OK


@many
@given(calls)
def test_any_call_succeeds_or_fails_with_a_message(channel: grpc.Channel, call: Call) -> None:
    ask(channel, call)


@many
@given(calls)
def test_any_stream_request_succeeds_or_fails_with_a_message(channel: grpc.Channel, call: Call) -> None:
    """In a stream, an error is a response and the stream continues."""
    stream = channel.stream_stream(f"/{SERVICE.full_name}/ModelStreamInfer", bytes, bytes)
    responses = stream(iter([call.data, GOOD[0].data]), timeout=DEADLINE)
    assert len(list(responses)) == 2


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 1000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 99]
)
def test_non_grpc_traffic_does_not_harm_the_server(own: ServerProcess, data: bytes) -> None:
    """The server's fixture asserts that nothing was logged."""
    host, port = own.grpc_address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as client:
        client.sendall(data)
        while client.recv(4096):
            pass


@needs_procfs
@pytest.mark.measures
def test_memory_does_not_grow(own: ServerProcess, channel: grpc.Channel) -> None:
    grown = growth(own.pid, calls, lambda call: ask(channel, call), lambda: assert_serves(own, channel))
    assert grown < MAY_GROW
