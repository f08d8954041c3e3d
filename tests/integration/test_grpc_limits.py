"""The limits of the gRPC port of a real server: what one client may cost the process and other clients."""

from __future__ import annotations

import gzip
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import grpc
import numpy as np
import pytest

from service.loadgen.clients.hpack import encode
from service.protocols.grpc import inference_pb2 as messages
from service.protocols.grpc.limits.resets import BURST
from service.protocols.grpc.limits.wire_format import field_head
from tests.integration.test_grpc_port import SERVING, connected, health, infer, request
from tests.support.http.raw_http2 import (
    CANCEL,
    CONTINUATION,
    DATA,
    DEADLINE_EXCEEDED,
    END_HEADERS,
    HEADERS,
    INFER,
    INITIAL_WINDOW_SIZE,
    INVALID_ARGUMENT,
    MAX_CONCURRENT_STREAMS,
    NOT_FOUND,
    OK,
    RESOURCE_EXHAUSTED,
    RST_STREAM,
    STREAM_INFER,
    WATCH,
    RawHttp2,
    frame,
    headers,
    prefixed,
)
from tests.support.models.filter_model import publish_filters
from tests.support.models.gray_classifier import level, publish_shades
from tests.support.server.certificates import Authority
from tests.support.server.eventually import eventually
from tests.support.server.metrics_page import MetricsPage
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import needs_procfs
from tests.support.server.server_process import FREE_GRPC_PORT, ServerProcess
from tests.support.server.watched import MAX_GROWTH, MEBIBYTE, assert_harmless, watched

LARGE = 20_000_000
HUGE = 57_000_000
CALLS = 24
RESETS = 200_000
ATTACK_SECONDS = 5.0
SOON = 10.0
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves `shades` and `filters`."""
    models = tmp_path_factory.mktemp("models")
    publish_shades(models)
    publish_filters(models)
    with ServerProcess(models, *FREE_GRPC_PORT) as server:
        yield server
        assert server.stderr.text == ""


def field(number: int, data: bytes) -> bytes:
    return field_head(number, len(data)) + data


def in_threads(count: int, work: Callable[[int], object]) -> None:
    """Does work in threads, and waits for them."""
    threads = [threading.Thread(target=work, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)


def assert_serves(server: ServerProcess) -> None:
    with connected(server) as channel:
        assert infer(channel)(request(level(7)), timeout=DEADLINE).model_name == "shades"
        assert health(channel) == SERVING


NAME = field(1, b"shades")
PIXELS = field(1, b"pixels") + field(2, b"UINT8") + field(3, b"\1\10\10\1")
MANY_FIELDS = {
    "inputs": NAME + field(5, b"") * (LARGE // 2),
    "named inputs": NAME + field(5, field(1, b"abc")) * (LARGE // 7),
    "outputs": NAME + field(6, b"") * (LARGE // 2),
    "parameters": NAME + b"".join(field(4, field(1, b"%07d" % i)) for i in range(LARGE // 11)),
    "elements": NAME + field(5, PIXELS + field(5, field(4, b"\1" * LARGE))),
    "images": NAME + field(5, PIXELS + field(5, field(8, b"") * (LARGE // 2))),
    "dimensions": NAME + field(5, field(3, b"\1" * LARGE)),
    "unknown fields": NAME + b"\xf8\1\1" * (LARGE // 3),
}


@pytest.mark.measures
@pytest.mark.parametrize("name", MANY_FIELDS)
def test_message_of_many_fields_is_refused(server: ServerProcess, name: str) -> None:
    def attack() -> None:
        with RawHttp2(server.grpc_address) as client:
            assert client.call(1, MANY_FIELDS[name]) == RESOURCE_EXHAUSTED

    assert_harmless(server, attack)


HUGE_MESSAGES = {
    "elements": (NAME + field(5, PIXELS + field(5, field(4, b"\1" * HUGE))), RESOURCE_EXHAUSTED),
    "inputs": (NAME + field(5, b"") * 10_000_000, RESOURCE_EXHAUSTED),
    "outputs": (NAME + field(6, b"") * 3_000_000, RESOURCE_EXHAUSTED),
    "image": (
        NAME
        + field(
            5, field(1, b"pixels") + field(2, b"BYTES") + field(3, b"\1") + field(5, field(8, b"x" * HUGE))
        ),
        INVALID_ARGUMENT,
    ),
    "raw contents": (NAME + field(5, PIXELS) + field(7, b"x" * HUGE), INVALID_ARGUMENT),
}


@needs_procfs
@pytest.mark.measures
@pytest.mark.parametrize("name", HUGE_MESSAGES)
def test_huge_messages_one_after_another_are_harmless(server: ServerProcess, name: str) -> None:
    """Each gets the error that is its own, as nothing is left of the one before."""
    message, status = HUGE_MESSAGES[name]

    def attack() -> None:
        with RawHttp2(server.grpc_address) as client:
            for stream in range(1, 11, 2):
                assert client.call(stream, message) == status

    assert_harmless(server, attack)


@pytest.mark.measures
@pytest.mark.parametrize(
    "method",
    [
        "/inference.GRPCInferenceService/TraceSetting",
        "/inference.GRPCInferenceService/ModelMetadata",
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
def test_long_message_for_another_method_is_refused(server: ServerProcess, method: str) -> None:
    def attack() -> None:
        with RawHttp2(server.grpc_address) as client:
            assert client.call(1, field(1, b"x" * LARGE), method) == RESOURCE_EXHAUSTED

    assert_harmless(server, attack)


@needs_procfs
@pytest.mark.measures
def test_incomplete_messages_of_one_connection_are_bounded(server: ServerProcess) -> None:
    statuses = []

    def attack() -> None:
        with RawHttp2(server.grpc_address) as client:
            for index in range(CALLS):
                client.begin(2 * index + 1)
            message = prefixed(bytes(HUGE))[:-1]
            in_threads(CALLS, lambda index: client.send_data(2 * index + 1, message))
            statuses.append(set(client.statuses.values()))

    assert_harmless(server, attack)
    assert statuses[-1] == {RESOURCE_EXHAUSTED}
    assert_serves(server)


@needs_procfs
@pytest.mark.measures
def test_incomplete_messages_of_many_connections_are_bounded(server: ServerProcess) -> None:
    """Without a limit, the process would hold 1.4 GB."""

    def attack() -> None:
        message = prefixed(bytes(HUGE))[:-1]

        def hold(index: int) -> None:
            client = stack.enter_context(RawHttp2(server.grpc_address))
            client.begin(1)
            client.send_data(1, message)

        with ExitStack() as stack:
            in_threads(CALLS, hold)

    assert_harmless(server, attack, growth=400 * MEBIBYTE)
    assert_serves(server)


@pytest.mark.measures
def test_compressed_messages_are_decompressed_within_the_budget(server: ServerProcess) -> None:
    """Each of the calls sends 60 kB that become 57 MB."""
    message = prefixed(gzip.compress(bytes(HUGE)), compressed=True)
    calls = 40

    def attack() -> None:
        with RawHttp2(server.grpc_address) as client:
            for index in range(calls):
                client.begin(2 * index + 1, INFER, (b"grpc-encoding", b"gzip"))
            in_threads(calls, lambda index: client.send_data(2 * index + 1, message, end=True))
            statuses = {client.status(2 * index + 1) for index in range(calls)}
            assert statuses <= {RESOURCE_EXHAUSTED, INVALID_ARGUMENT}

    assert_harmless(server, attack)


def maps_request(side: int) -> bytes:
    """A request for four maps of an image."""
    tensor = messages.ModelInferRequest.InferInputTensor(
        name="pixels", datatype="UINT8", shape=[1, side, side, 1]
    )
    pixels = np.zeros((side, side), np.uint8).tobytes()
    return messages.ModelInferRequest(
        model_name="filters", inputs=[tensor], raw_input_contents=[pixels]
    ).SerializeToString()


@needs_procfs
@pytest.mark.measures
def test_unread_responses_are_bounded(server: ServerProcess) -> None:
    """Without a limit, the process would hold two copies of 40 responses of 16 MiB."""
    message = maps_request(1024)
    attackers = 40

    def read(index: int) -> None:
        with RawHttp2(server.grpc_address) as client:
            client.call(1, message)

    in_threads(attackers, read)  # the engine keeps memory for its largest batch

    def attack() -> None:
        def leave_unread(index: int) -> None:
            client = stack.enter_context(RawHttp2(server.grpc_address, window=0))
            client.begin(1)
            client.send_data(1, prefixed(message), end=True)

        with ExitStack() as stack:
            in_threads(attackers, leave_unread)
            with RawHttp2(server.grpc_address) as other:
                eventually(lambda: other.call(1 + 2 * len(other.statuses), maps_request(64)) == OK)

    assert_harmless(server, attack, growth=400 * MEBIBYTE)


@needs_procfs
def test_client_that_reads_no_response_is_disconnected(tmp_path: Path) -> None:
    publish_filters(tmp_path)
    with (
        ServerProcess(tmp_path, *FREE_GRPC_PORT, "--write-timeout-s", "1") as server,
        RawHttp2(server.grpc_address, window=0) as client,
    ):
        client.begin(1)
        client.send_data(1, prefixed(maps_request(64)), end=True)
        client.wait_until_closed()
        assert server.stderr.text == ""


def test_message_must_arrive_in_time(shades: Path) -> None:
    with (
        ServerProcess(shades, *FREE_GRPC_PORT, "--body-timeout-s", "1") as server,
        RawHttp2(server.grpc_address) as client,
        RawHttp2(server.grpc_address) as stream,
    ):
        stream.begin(1, STREAM_INFER)
        client.begin(1)
        client.send_data(1, prefixed(bytes(1000))[:500])
        assert client.status(1) == DEADLINE_EXCEEDED
        assert not stream.statuses  # a stream may wait between its requests


def test_call_without_a_message_is_rejected(server: ServerProcess) -> None:
    with RawHttp2(server.grpc_address) as client:
        client.send(frame(HEADERS, END_HEADERS | 1, 1, headers(INFER)))
        assert client.status(1) == INVALID_ARGUMENT


def test_watches_leave_room_for_calls_and_probes(shades: Path) -> None:
    """One client may have more watches open than there are slots for calls."""
    with ServerProcess(shades, *FREE_GRPC_PORT, "--max-connections", "64") as server, ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(RawHttp2(server.grpc_address))
            for index in range(32):
                client.begin(2 * index + 1, WATCH)
                client.send_data(2 * index + 1, prefixed(b""), end=True)
        eventually(lambda: RESOURCE_EXHAUSTED in client.statuses.values() or not health_is_ok(server))
        for _ in range(5):
            assert_serves(server)


def health_is_ok(server: ServerProcess) -> bool:
    with connected(server) as channel:
        return bool(health(channel) == SERVING)


def test_idle_streams_leave_room_for_probes(shades: Path) -> None:
    with ServerProcess(shades, *FREE_GRPC_PORT, "--max-connections", "64") as server, ExitStack() as stack:
        clients = [stack.enter_context(RawHttp2(server.grpc_address)) for _ in range(2)]
        for client in clients:
            for index in range(40):
                client.begin(2 * index + 1, STREAM_INFER)
        eventually(lambda: health_is_ok(server) and sum(len(each.statuses) for each in clients) == 24)
        assert {status for each in clients for status in each.statuses.values()} == {RESOURCE_EXHAUSTED}
        for _ in range(5):
            assert health_is_ok(server)


@needs_procfs
@pytest.mark.parametrize("method", [None, WATCH, STREAM_INFER])
def test_idle_connections_leave_room_for_new_ones(shades: Path, method: str | None) -> None:
    """One client opens more connections than the server accepts, perhaps with a call each, and keeps them."""
    with ServerProcess(shades, *FREE_GRPC_PORT, "--max-connections", "64") as server, ExitStack() as stack:
        for _ in range(80):
            idle = stack.enter_context(RawHttp2(server.grpc_address))
            if method is not None:
                idle.begin(1, method)
                idle.send(frame(DATA, 0, 1, prefixed(b"") if method == WATCH else b""))
        eventually(lambda: is_served(server))
        assert server.stderr.text == ""


def is_served(server: ServerProcess) -> bool:
    with connected(server) as channel:
        try:
            return bool(infer(channel)(request(level(7)), timeout=DEADLINE).model_name)
        except grpc.RpcError:
            return False


@needs_procfs
def test_unfinished_handshakes_leave_room(shades: Path) -> None:
    arguments = ("--max-connections", "64", "--head-timeout-s", "1")
    with ServerProcess(shades, *FREE_GRPC_PORT, *arguments) as server, ExitStack() as stack:
        host, _, port = server.grpc_address.rpartition(":")
        for _ in range(80):
            stack.enter_context(closing(socket.create_connection((host, int(port)))))
        eventually(lambda: is_served(server))


def test_no_call_of_a_burst_is_cancelled(server: ServerProcess) -> None:
    """Clients do not try a cancelled call again."""
    streams, block = range(1, 200, 2), headers(INFER)
    burst = b"".join(
        frame(HEADERS, END_HEADERS, each, block) + frame(DATA, 1, each, prefixed(b"")) for each in streams
    )
    with ExitStack() as stack:
        clients = [stack.enter_context(RawHttp2(server.grpc_address)) for _ in range(20)]
        for client in clients:
            client.wait_for_settings()
        in_threads(len(clients), lambda index: clients[index].send(burst))
        statuses = {client.status(each) for client in clients for each in streams}
    assert statuses <= {NOT_FOUND, RESOURCE_EXHAUSTED}


@pytest.mark.measures
def test_unfinished_tls_handshakes_fail_nobody(shades: Path, tmp_path: Path) -> None:
    """Half of the clients send nothing, half the beginning of a ClientHello; all with default settings."""
    authority = Authority(tmp_path)
    pair = authority.sign("server")
    tls = ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
    trusted = grpc.ssl_channel_credentials(authority.certificate.read_bytes())
    with ServerProcess(shades, *FREE_GRPC_PORT, *tls) as server, ExitStack() as stack:
        host, _, port = server.grpc_address.rpartition(":")
        kept = stack.enter_context(grpc.secure_channel(server.grpc_address, trusted))
        assert health(kept) == SERVING

        def attack() -> None:
            for number in range(500):
                client = stack.enter_context(closing(socket.create_connection((host, int(port)))))
                if number % 2:
                    client.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
                if number % 50 == 0:
                    with grpc.secure_channel(server.grpc_address, trusted) as new:
                        assert infer(new)(request(level(7)), timeout=SOON).model_name == "shades"
                    assert infer(kept)(request(level(7)), timeout=SOON).model_name == "shades"

        with watched(server) as watch:
            attack()
        assert watch.growth <= MAX_GROWTH
        assert not watch.failures
        assert server.stderr.text == ""


@pytest.mark.measures
def test_reset_streams_cancel_no_other_call(server: ServerProcess) -> None:
    """CVE-2023-44487: streams are opened and reset at once, over a new connection when one is closed."""
    block, cancel = headers(INFER), CANCEL.to_bytes(4, "big")
    bursts = [
        b"".join(
            frame(HEADERS, END_HEADERS, each, block) + frame(RST_STREAM, 0, each, cancel)
            for each in range(first, first + 2000, 2)
        )
        for first in range(1, 2 * RESETS, 2000)
    ]
    statuses: list[str | None] = []

    def attack() -> None:
        """A client with the same address calls while each of the attacker's connections ends."""
        with RawHttp2(server.grpc_address) as other:
            end = time.monotonic() + ATTACK_SECONDS
            while time.monotonic() < end:
                with RawHttp2(server.grpc_address) as attacker:
                    for burst in bursts:
                        if not attacker.send(burst) or attacker.closed:
                            break
                    statuses.append(other.call(2 * len(other.statuses) + 1, b""))

    assert_harmless(server, attack)
    assert set(statuses) == {NOT_FOUND}  # there is no model ''
    assert_serves(server)


@needs_procfs
def test_connection_that_only_cancels_is_closed(shades: Path) -> None:
    """Connections of other clients lose nothing."""
    with (
        ServerProcess(shades, *FREE_GRPC_PORT) as server,
        connected(server) as other,
    ):
        assert health(other) == SERVING
        assert cancel_until_closed(server) >= BURST
        for _ in range(2):
            cancel_until_closed(server)
        page = MetricsPage.scrape(server.url)
        assert page.total("convserve_connection_rejections_total", reason="too_many_resets") == 3
        assert health(other) == SERVING
        assert_serves(server)
        assert server.stderr.text == ""


def cancel_until_closed(server: ServerProcess) -> int:
    """Cancel calls until the server closes the connection; returns their number."""
    with RawHttp2(server.grpc_address) as client:
        client.wait_for_settings()
        for stream in range(1, 2 * RESETS, 2):
            client.begin(stream)
            client.send(frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big")))
            if client.closed:
                return stream // 2
    raise AssertionError("the connection is open")


def test_connection_that_also_cancels_stays_open(server: ServerProcess) -> None:
    with RawHttp2(server.grpc_address) as client:
        for index in range(250):
            stream = 2 * index + 1
            if index % 5:
                assert client.call(stream, b"") == NOT_FOUND
            else:
                client.begin(stream)
                client.send(frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big")))
        assert not client.closed


def test_connection_has_small_windows_and_few_streams(server: ServerProcess) -> None:
    with RawHttp2(server.grpc_address) as client:
        client.wait_for_settings()
        assert client.settings[MAX_CONCURRENT_STREAMS] <= 100
        assert client.settings.get(INITIAL_WINDOW_SIZE, 65_535) <= 65_535


@pytest.mark.measures
def test_metadata_is_limited(server: ServerProcess) -> None:
    block = headers(INFER)
    more = encode([(b"x-%05d" % index, b"y" * 100) for index in range(60)])

    def attack() -> None:
        with RawHttp2(server.grpc_address) as client:
            client.send(frame(HEADERS, 0, 1, block))
            for _ in range(100):
                client.send(frame(CONTINUATION, 0, 1, more))
        with RawHttp2(server.grpc_address) as client:
            client.send(frame(HEADERS, 0, 1, block))
            for _ in range(2):
                client.send(frame(CONTINUATION, 0, 1, more))
            client.send(frame(CONTINUATION, END_HEADERS, 1, more))
            assert client.call(3, b"") == NOT_FOUND
            assert client.statuses.get(1) != OK

    assert_harmless(server, attack)


def test_open_connections_do_not_delay_shutdown(shades: Path) -> None:
    with (
        ServerProcess(shades, *FREE_GRPC_PORT, "--shutdown-timeout-s", "3600") as server,
        ExitStack() as stack,
    ):
        assert_serves(server)
        host, _, port = server.grpc_address.rpartition(":")
        for _ in range(5):
            silent = stack.enter_context(closing(socket.create_connection((host, int(port)))))
            silent.sendall(HTTP2_PREFACE)
        half = stack.enter_context(RawHttp2(server.grpc_address))
        half.begin(1)
        half.send_data(1, prefixed(bytes(1000))[:500])
        eventually(lambda: health_is_ok(server))
        started = time.monotonic()
        assert server.stop() == -signal.SIGTERM
        assert time.monotonic() - started < SOON
        assert half.status(1) in ("14", "reset", None)
