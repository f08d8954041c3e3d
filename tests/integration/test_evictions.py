"""Requests that wait, with complete bodies, make room for a client that holds less."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.support.http.client import send_request
from tests.support.http.raw_http import connected, head, read_response
from tests.support.images.large_images import png
from tests.support.models.gray_classifier import image, level
from tests.support.server.metrics_page import scrape_until
from tests.support.server.server_process import ServerProcess

MEBIBYTE = 1024 * 1024
BUDGET = 16 * MEBIBYTE
BODY_BYTES = 2 * MEBIBYTE
# As many as a single client may hold.
BODIES = 6


def test_waiting_bodies_of_a_client_make_room_for_another(shades: Path) -> None:
    """Each image of the first client is decoded for most of a second, so nearly all of them wait."""
    large = png("RGBA", 5000)
    greedy = head(f"Content-Length: {BODY_BYTES}", "X-Forwarded-For: 192.0.2.1")
    greedy += large + bytes(BODY_BYTES - len(large))
    polite = {"X-Forwarded-For": "192.0.2.2", "Content-Type": "image/png"}
    own = {"CONVSERVE_TRUSTED_PROXIES": "127.0.0.1"}
    with ServerProcess(shades, "--client-budget-bytes", str(BUDGET), own=own) as server, ExitStack() as stack:
        clients = [stack.enter_context(connected(server)) for _ in range(BODIES)]
        for client in clients:
            client.sendall(greedy)
        scrape_until(server.url, lambda page: page.total("convserve_client_bytes") > BODIES * BODY_BYTES)
        body = image(level(7)) + bytes(2 * BODY_BYTES)
        assert send_request("POST", f"{server.url}/classify", body, polite).status == 200
        responses = [read_response(client) for client in clients]
        statuses = [response.status for response in responses]
        assert set(statuses) == {200, 429}
        assert statuses.count(429) <= 2
        assert all(response.headers["retry-after"] for response in responses if response.status == 429)
