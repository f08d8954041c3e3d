"""Every contender does the work it is asked for, in its own idiom: no figures here."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.cases import peer_requests
from benchmarks.cases.engine_limit import limit
from benchmarks.cases.inputs import Material
from benchmarks.cases.measurements import asked, started
from benchmarks.server_pool import Pace, Stage
from benchmarks.servers import Contender, bare, convserve, naive
from service.loadgen.types import Requests
from tests.support.models.gray_classifier import LABELS, image, level, publish_shades

BRIEFLY = Pace(rounds=1, seconds=0.2, heavy_seconds=0.2, warm_up=0.05)
SHADES = (1, 4, 8)
DEADLINE = 60.0


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = publish_shades(tmp_path_factory.mktemp("models"))
    return Material.of(folder, [image(level(shade)) for shade in SHADES], "flat greys")


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage(BRIEFLY) as stage:
        yield stage


def contender(name: str, folder: Path) -> Contender:
    return {
        "convserve": convserve(folder.parent.parent, 2),
        "naive": naive(folder, 2),
        "bare": bare(folder, 1),
    }[name]


@pytest.mark.parametrize(
    ("name", "ask", "images"),
    [
        ("convserve", peer_requests.raw, 1),
        ("convserve", peer_requests.raw, 3),
        ("convserve", peer_requests.as_form, 1),
        ("naive", peer_requests.naive_form, 1),
        ("naive", peer_requests.naive_raw, 1),
        ("naive", peer_requests.naive_many, 3),
        ("bare", peer_requests.bare, 1),
    ],
)
def test_every_idiom_gets_the_same_labels(
    stage: Stage, material: Material, name: str, ask: peer_requests.Ask, images: int
) -> None:
    requests = ask(stage.server(contender(name, material.folder)), material, images)
    labels = [LABELS[shade] for shade in SHADES * 2]
    for start, data in enumerate(requests.data):
        assert list(requests.read(answer(requests, data))) == labels[start : start + images]


@pytest.mark.parametrize(
    ("name", "ask"), [("convserve", peer_requests.tensor), ("naive", peer_requests.naive_json)]
)
def test_rows_of_pixels_get_the_same_classes(
    stage: Stage, material: Material, name: str, ask: peer_requests.Ask
) -> None:
    requests = ask(stage.server(contender(name, material.folder)), material, 1)
    assert [requests.read(answer(requests, data)) for data in requests.data] == [
        (str(shade),) for shade in SHADES
    ]


def answer(requests: Requests, data: bytes) -> bytes:
    """The body that one prepared request is answered with."""
    address = (requests.address.host, requests.address.port)
    with socket.create_connection(address, timeout=DEADLINE) as client:
        client.sendall(data)
        response = http.client.HTTPResponse(client)
        response.begin()
        assert response.status == 200
        return response.read()


def test_what_is_asked_is_counted(stage: Stage, material: Material) -> None:
    entry = asked(contender("convserve", material.folder), peer_requests.grpc, material, 2)
    assert entry.name == "convserve, 2 workers"
    figures = entry.measure(stage)
    assert (figures.unclean, figures.complaint, figures.refused) == (0, None, 0)


def test_a_start_is_weighed(stage: Stage, material: Material) -> None:
    figures = started(contender("bare", material.folder), peer_requests.bare, material).measure(stage)
    assert figures.ready
    assert figures.pss


def test_the_engine_is_run_without_a_server(material: Material) -> None:
    found = limit(material, processes=2, batch=2, seconds=0.1)
    assert found.images_per_second > 0
    assert found.milliseconds == pytest.approx(2000 / found.images_per_second)
