"""Each benchmarked server returns the expected labels for each of its request formats."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.cases import peer_requests
from benchmarks.cases.engine_limit import measure_engine
from benchmarks.cases.inputs import BenchmarkInputs
from benchmarks.cases.measurements import load_entry, startup_entry
from benchmarks.server_pool import ServerPool, Timing
from benchmarks.servers import BenchmarkServer, baseline_asgi, baseline_fastapi, convserve
from service.loadgen.types import Requests
from tests.support.models.gray_classifier import LABELS, image, level, publish_shades

SHORT = Timing(rounds=1, seconds=0.2, heavy_seconds=0.2, warm_up=0.05)
SHADES = (1, 4, 8)
DEADLINE = 60.0


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkInputs:
    folder = publish_shades(tmp_path_factory.mktemp("models"))
    return BenchmarkInputs.of(folder, [image(level(shade)) for shade in SHADES], "flat grays")


@pytest.fixture(scope="module")
def pool() -> Iterator[ServerPool]:
    with ServerPool(SHORT) as pool:
        yield pool


def benchmark_server(name: str, folder: Path) -> BenchmarkServer:
    return {
        "convserve": convserve(folder.parent.parent, 2),
        "fastapi": baseline_fastapi(folder, 2),
        "asgi": baseline_asgi(folder, 1),
    }[name]


@pytest.mark.parametrize(
    ("name", "build", "images"),
    [
        ("convserve", peer_requests.raw, 1),
        ("convserve", peer_requests.raw, 3),
        ("convserve", peer_requests.as_form, 1),
        ("fastapi", peer_requests.fastapi_form, 1),
        ("fastapi", peer_requests.fastapi_raw, 1),
        ("fastapi", peer_requests.fastapi_many, 3),
        ("asgi", peer_requests.asgi_body, 1),
    ],
)
def test_every_request_format_gets_the_same_labels(
    pool: ServerPool, inputs: BenchmarkInputs, name: str, build: peer_requests.RequestFactory, images: int
) -> None:
    requests = build(pool.server(benchmark_server(name, inputs.folder)), inputs, images)
    labels = [LABELS[shade] for shade in SHADES * 2]
    for start, data in enumerate(requests.data):
        assert list(requests.parse(send(requests, data))) == labels[start : start + images]


@pytest.mark.parametrize(
    ("name", "build"), [("convserve", peer_requests.tensor), ("fastapi", peer_requests.fastapi_json)]
)
def test_decoded_images_get_the_same_classes(
    pool: ServerPool, inputs: BenchmarkInputs, name: str, build: peer_requests.RequestFactory
) -> None:
    requests = build(pool.server(benchmark_server(name, inputs.folder)), inputs, 1)
    assert [requests.parse(send(requests, data)) for data in requests.data] == [
        (str(shade),) for shade in SHADES
    ]


def send(requests: Requests, data: bytes) -> bytes:
    """The body of the response to one prepared request."""
    address = (requests.address.host, requests.address.port)
    with socket.create_connection(address, timeout=DEADLINE) as client:
        client.sendall(data)
        response = http.client.HTTPResponse(client)
        response.begin()
        assert response.status == 200
        return response.read()


def test_measurement_of_a_server_has_no_failures(pool: ServerPool, inputs: BenchmarkInputs) -> None:
    entry = load_entry(benchmark_server("convserve", inputs.folder), peer_requests.grpc, inputs, 2)
    assert entry.name == "convserve, 2 workers"
    figures = entry.measure(pool)
    assert (figures.failed, figures.first_error, figures.rejected) == (0, None, 0)


def test_startup_has_a_duration_and_memory(pool: ServerPool, inputs: BenchmarkInputs) -> None:
    figures = startup_entry(benchmark_server("asgi", inputs.folder), peer_requests.asgi_body, inputs).measure(
        pool
    )
    assert figures.ready
    assert figures.pss


def test_engine_is_measured_without_a_server(inputs: BenchmarkInputs) -> None:
    found = measure_engine(inputs, processes=2, batch=2, seconds=0.1)
    assert found.images_per_second > 0
    assert found.milliseconds == pytest.approx(2000 / found.images_per_second)
