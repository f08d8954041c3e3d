"""The counts of `convserve bench` against real servers, regardless of speed."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from service.loadgen.clients.request_bytes import post
from service.loadgen.generator import generate
from service.loadgen.process_stats import cpu_seconds, listeners, process_tree, pss
from service.loadgen.types import Address, Plan, Requests
from service.loadgen.workload.response_parsers import native
from tests.support.models.gray_classifier import LABELS, image, level
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import needs_procfs
from tests.support.server.server_process import ServerProcess, convserve

# Long enough for a response on a busy machine.
BRIEFLY = ("--duration", "1", "--warm-up", "0.1")
RESPONSE_BODY = b'{"predictions": [{"label": "a"}]}'


def measured(tmp_path: Path, *arguments: str | Path) -> dict[str, object]:
    report = tmp_path / "bench.json"
    result = convserve("bench", *arguments, *BRIEFLY, "--json", report)
    assert result.returncode == 0, result.stdout + result.stderr
    (measurement,) = json.loads(report.read_text())["measurements"]
    assert isinstance(measurement, dict)
    return measurement


@pytest.fixture
def image_files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{shade}.png" for shade in (2, 5)]
    for path, shade in zip(paths, (2, 5), strict=True):
        path.write_bytes(image(level(shade)))
    return paths


@pytest.mark.parametrize("protocol", ["native", "open-inference", "tensorflow-serving"])
@pytest.mark.parametrize("images", ["1", "3"])
def test_every_response_is_counted_and_correct(
    server: ServerProcess, tmp_path: Path, image_files: list[Path], protocol: str, images: str
) -> None:
    flags = ("--protocol", protocol, "--images-per-request", images, "--connections", "4")
    measurement = measured(tmp_path, server.url, *flags, "--image", *image_files)
    assert measurement["offered"] == measurement["answered"]
    assert measurement["statuses"] == {"200": measurement["answered"]}
    assert (measurement["failed"], measurement["incorrect"], measurement["rejected"]) == (0, 0, 0)


@pytest.mark.parametrize("images", ["1", "500"])
def test_grpc_is_measured(shades: Path, tmp_path: Path, images: str) -> None:
    """500 images exceed the 64 KiB of HTTP/2's initial window."""
    flags = ("--protocol", "grpc", "--connections", "2", "--images-per-request", images)
    # Both connections may have the same worker, and an eighth of its queue is for other clients.
    own = ("--models", shades, "--max-images", "500", "--queue-limit", "2000", "--workers", "2")
    measurement = measured(tmp_path, *flags, *own)
    assert measurement["answered"]
    assert measurement["statuses"] == {"OK": measurement["answered"]}


def test_grpc_rejections_are_counted_by_code(shades: Path, tmp_path: Path) -> None:
    report = tmp_path / "bench.json"
    flags = ("--protocol", "grpc", "--images-per-request", "9")
    result = convserve("bench", *flags, "--models", shades, "--max-images", "8", *BRIEFLY, "--json", report)
    (measurement,) = json.loads(report.read_text())["measurements"]
    assert measurement["statuses"] == {"RESOURCE_EXHAUSTED": measurement["offered"]}
    assert measurement["rejected"] == measurement["offered"]
    assert result.returncode == 1, "there was no response"


def test_shipped_models_are_measured_without_a_url(tmp_path: Path) -> None:
    measurement = measured(tmp_path, "--rate", "40", "--generators", "2")
    assert measurement["rate"] == 40
    assert measurement["offered"] == measurement["answered"]
    assert measurement["server_cpu"] is not None


def test_maximum_rate_is_found(server: ServerProcess, tmp_path: Path) -> None:
    report = tmp_path / "bench.json"
    flags = ("--find-max-rate", "--p99", "1ms", "--rate", "4", "--duration", "0.05", "--warm-up", "0.01")
    result = convserve("bench", server.url, *flags, "--json", report)
    document = json.loads(report.read_text())
    assert result.returncode == 0, result.stdout + result.stderr
    assert document["max_rate"]["p99_ms"] == 1.0
    assert len(document["trials"]) == len(document["measurements"])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("http://127.0.0.1:1",), "cannot reach http://127.0.0.1:1: "),
        (("ftp://nowhere",), "must look like http://"),
        (("--p99", "soon"), "must be a time such as 15ms"),
        (("--image", "nowhere.png"), "nowhere.png: No such file"),
    ],
)
def test_failed_measurement_is_reported_in_one_line(arguments: tuple[str, ...], complaint: str) -> None:
    result = convserve("bench", *arguments)
    assert result.returncode in (1, 2)
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr


@needs_procfs
def test_processes_of_a_server_are_found_by_its_port(shades: Path) -> None:
    with ServerProcess(shades, "--workers", "2") as server:
        own = process_tree([server.pid])
        assert listeners(server.address[1]) < own
        assert cpu_seconds(own) > 0
        assert pss(own) > 10_000_000


@contextmanager
def serving(behave: Callable[[socket.socket], None]) -> Iterator[Address]:
    """A server that handles each connection by `behave`, in its own thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_behave, args=(behave, client), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield Address(host, port)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(DEADLINE)


def _behave(behave: Callable[[socket.socket], None], client: socket.socket) -> None:
    client.settimeout(DEADLINE)
    with closing(client):
        try:
            behave(client)
        except OSError:
            return


def http_response(status: str, body: bytes = RESPONSE_BODY, *fields: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""])
    return head.encode() + body


def plan(address: Address, *, rate: float | None = None) -> Plan:
    data = (post(address, "/", b"image", {}),)
    return at_once(Plan(Requests(address, data, partial(native, 1)), 2, rate, 0.0, 0.7))


def at_once(plan: Plan) -> Plan:
    """A plan without a warm-up, and long enough for a response on a busy machine."""
    return replace(plan, begin=time.monotonic() + 0.2)


@pytest.mark.parametrize("rate", [None, 200.0])
def test_rejections_are_counted_separately(rate: float | None) -> None:
    def behave(client: socket.socket) -> None:
        while client.recv(65536):
            client.sendall(http_response("429 Too Many Requests"))

    with serving(behave) as address:
        tally = asyncio.run(generate(plan(address, rate=rate)))
    assert tally.offered == len(tally.rejection_latencies) == tally.statuses[429] > 0
    assert not tally.latencies
    assert tally.completed == 0


def test_fragmented_and_chunked_responses_are_joined() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
        len(RESPONSE_BODY),
        RESPONSE_BODY,
    )

    def behave(client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while client.recv(65536):
            for byte in chunked:
                client.send(bytes([byte]))

    with serving(behave) as address:
        tally = asyncio.run(generate(plan(address)))
    assert tally.offered == len(tally.latencies) > 0
    assert tally.incorrect == tally.lost == 0


@pytest.mark.parametrize(
    "response", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"SSH-2.0-OpenSSH_9.6\r\n"]
)
def test_broken_connection_is_counted_and_replaced(response: bytes) -> None:
    connections: list[None] = []

    def behave(client: socket.socket) -> None:
        connections.append(None)
        client.recv(65536)
        client.sendall(response)

    with serving(behave) as address:
        tally = asyncio.run(generate(plan(address)))
    assert tally.offered == tally.lost > 2
    assert len(connections) > 2


def test_server_that_closes_each_connection_is_measured() -> None:
    def behave(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(http_response("200 OK", RESPONSE_BODY, "Connection: close"))

    with serving(behave) as address:
        tally = asyncio.run(generate(plan(address)))
    assert tally.offered == len(tally.latencies) > 2
    assert tally.lost == 0


def test_labels_of_the_server_equal_those_of_the_model(server: ServerProcess) -> None:
    address = Address(*server.address)
    data = tuple(post(address, "/classify", image(level(shade)), {}) for shade in (1, 8))
    load = Plan(Requests(address, data, partial(native, 1)), 2, None, 0.0, 0.7)
    tally = asyncio.run(generate(at_once(load)))
    assert tally.lost == 0, tally
    assert tally.labels == {0: (LABELS[1],), 1: (LABELS[8],)}
