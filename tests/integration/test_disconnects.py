"""Clients that disconnect early do not affect others."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from tests.support.http.client import post
from tests.support.http.raw_http import connected, head
from tests.support.models.gray_classifier import image, level
from tests.support.server.metrics_page import MetricsPage, scrape_until
from tests.support.server.server_process import ServerProcess

BODY = image(level(7))
REQUEST = head(f"Content-Length: {len(BODY)}") + BODY
DISCONNECTS = 500

# SO_LINGER with a timeout of 0: closing resets the connection and discards unsent data.
RESET = struct.pack("ii", 1, 0)


def test_request_interrupted_in_its_body_is_counted(server: ServerProcess) -> None:
    before = MetricsPage.scrape(server.url).total("convserve_requests_total", code="499")
    with connected(server) as client:
        client.sendall(REQUEST[:-10])
    scrape_until(
        server.url,
        lambda page: page.is_idle() and page.total("convserve_requests_total", code="499") == before + 1,
    )
    assert post(f"{server.url}/classify", BODY).status == 200


def test_request_interrupted_in_its_head_is_not_counted(server: ServerProcess) -> None:
    before = MetricsPage.scrape(server.url).total("convserve_requests_total")
    with connected(server) as client:
        client.sendall(REQUEST[:20])
    assert post(f"{server.url}/classify", BODY).status == 200
    assert MetricsPage.scrape(server.url).total("convserve_requests_total") == before + 1


def test_disconnected_client_frees_its_place_in_the_queue(shades: Path) -> None:
    """Rows that remained in the queue would wait a minute for a full batch."""
    with ServerProcess(shades, "--max-queue-delay-ms", "60000") as server:
        with connected(server) as client:
            client.sendall(REQUEST)
            scrape_until(server.url, lambda page: page.total("convserve_queue_depth") == 1)
        page = scrape_until(server.url, MetricsPage.is_idle)
        assert page.total("convserve_requests_total", code="499") == 1
        assert page.total("convserve_images_total") == 0
        assert server.stderr.text == ""


@pytest.mark.parametrize("reset", [False, True])
def test_hundreds_of_clients_may_disconnect_early(server: ServerProcess, reset: bool) -> None:
    before = MetricsPage.scrape(server.url).total("convserve_requests_total")
    for _ in range(DISCONNECTS):
        with connected(server) as client:
            client.sendall(REQUEST)
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    # Some of the reset connections end before their request is read.
    counted = 0 if reset else DISCONNECTS

    def is_complete(page: MetricsPage) -> bool:
        return page.is_idle() and page.total("convserve_requests_total") >= before + counted

    scrape_until(server.url, is_complete)
    assert post(f"{server.url}/classify", BODY).json["predictions"][0]["label"] == "shade 7"
    assert server.stderr.text == ""
