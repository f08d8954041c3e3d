"""A full queue: cached rejections equal the first one and are counted like it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.http.client import HttpResponse, get, post, send_request
from tests.support.http.raw_http import connected, head, read_response
from tests.support.models.gray_classifier import image, level
from tests.support.server.eventually import eventually
from tests.support.server.metrics_page import MetricsPage, scrape_until
from tests.support.server.server_process import ServerProcess

ROOM = 3
FOREVER_MS = "600000"
# Admitted requests wait for a full batch, which never forms.
ARGUMENTS = (
    *("--queue-limit", str(ROOM), "--max-images", str(ROOM)),
    *("--max-queue-delay-ms", FOREVER_MS, "--request-timeout-ms", FOREVER_MS),
)
KEY = "the-one-key-there-is"
BODY = image(level(7))
REQUEST = head(f"Content-Length: {len(BODY)}") + BODY
DIALECTS = {
    "native": "/models/shades/classify?top_k=2",
    "open_inference": "/v2/models/shades/infer",
    "tensorflow_serving": "/v1/models/shades:predict",
    "torchserve": "/predictions/shades",
}


def form(images: int) -> bytes:
    part = b"--x\r\nContent-Disposition: form-data; name=f; filename=f.png\r\n\r\n%b\r\n" % BODY
    return part * images + b"--x--\r\n"


@contextmanager
def filled(server: ServerProcess, *fields: str) -> Iterator[None]:
    """Keeps the queue full with one request until the block ends."""
    body = form(ROOM)
    fields = (*fields, "Content-Type: multipart/form-data; boundary=x", f"Content-Length: {len(body)}")
    lines = ["POST /classify HTTP/1.1", "Host: localhost", *fields, "", ""]
    with connected(server) as holder:
        holder.sendall("\r\n".join(lines).encode() + body)
        yield


@pytest.fixture(scope="module")
def full(shades: Path) -> Iterator[ServerProcess]:
    with ServerProcess(shades, *ARGUMENTS) as server, filled(server):
        scrape_until(server.url, lambda page: page.total("convserve_images_in_flight") == ROOM)
        yield server
        assert server.stderr.text == ""


def assert_rejected(response: HttpResponse) -> None:
    assert response.status == 429
    assert "the queue is full: 3 of 3 images are queued or being decoded" in response.json["error"]
    assert int(response.headers["retry-after"]) >= 1


def without_date(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name != "date"]


@pytest.mark.parametrize(("protocol", "path"), DIALECTS.items())
def test_later_rejections_equal_the_first(full: ServerProcess, protocol: str, path: str) -> None:
    before = MetricsPage.scrape(full.url)
    url = f"{full.url}{path}"
    first, *others = [post(url, BODY) for _ in range(4)]
    assert_rejected(first)
    for other in others:
        assert (other.status, without_date(other.headers), other.body) == (
            429,
            without_date(first.headers),
            first.body,
        )
        assert "date" in other.headers
    after = MetricsPage.scrape(full.url)
    for name, labels in {
        "convserve_requests_total": {"model": "shades", "version": "1", "protocol": protocol, "code": "429"},
        "convserve_request_duration_seconds_count": {"model": "shades", "protocol": protocol},
        "convserve_rejected_total": {"model": "shades", "reason": "overloaded"},
    }.items():
        assert after.total(name, **labels) - before.total(name, **labels) == 4, name
    assert after.total("convserve_inflight_requests") == 1  # the request that fills the queue


def test_connection_continues_after_rejections(full: ServerProcess) -> None:
    with connected(full) as client:
        for _ in range(3):
            client.sendall(REQUEST)
            assert_rejected(read_response(client))
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_response(client).status == 200


def test_rejection_does_not_wait_for_the_body(full: ServerProcess) -> None:
    assert_rejected(post(f"{full.url}/classify", BODY))
    with connected(full) as client:
        client.sendall(head(f"Content-Length: {1_000_000}"))
        assert_rejected(read_response(client))
        client.sendall(bytes(500_000))
        client.sendall(bytes(500_000) + REQUEST)
        assert_rejected(read_response(client))


def test_pipelined_requests_are_rejected_in_order(full: ServerProcess) -> None:
    assert_rejected(post(f"{full.url}/classify", BODY))
    last = REQUEST.replace(b"Host:", b"Connection: close\r\nHost:")
    with connected(full) as client, closing(client.makefile("rb")) as responses:
        client.sendall(REQUEST * 4 + last)
        assert responses.read().count(b"HTTP/1.1 429 Too Many Requests\r\n") == 5


def test_other_requests_bypass_the_overload_cache(full: ServerProcess) -> None:
    url = f"{full.url}/classify"
    assert_rejected(post(url, BODY))
    assert send_request("POST", url, BODY, {"X-Request-Timeout-Ms": "soon"}).status == 400
    assert_rejected(send_request("POST", url, BODY, {"X-Request-Timeout-Ms": "1000"}))
    assert get(url).status == 405
    assert post(f"{full.url}/models/unknown/classify", BODY).status == 404
    assert_rejected(send_request("POST", url, BODY, {"Connection": "close"}))


def test_requests_are_accepted_once_there_is_room(shades: Path) -> None:
    with ServerProcess(shades, *ARGUMENTS) as server:
        url = f"{server.url}/classify"
        with filled(server):
            scrape_until(server.url, lambda page: page.total("convserve_images_in_flight") == ROOM)
            assert_rejected(post(url, b"not an image"))
            assert_rejected(post(url, b"not an image"))
        scrape_until(server.url, lambda page: page.is_idle())
        assert post(url, b"not an image").status == 400


def test_overload_cache_is_bounded(full: ServerProcess) -> None:
    with connected(full) as client:
        for number in range(1100):
            url = f"/classify?number={number:0{number // 4}}"
            client.sendall(head(f"Content-Length: {len(BODY)}", path=url) + BODY)
            assert_rejected(read_response(client))


def test_overload_does_not_bypass_authentication(shades: Path) -> None:
    own = {"CONVSERVE_API_KEYS": f"one infer,metrics {KEY}"}
    bearer = f"Authorization: Bearer {KEY}"
    with ServerProcess(shades, *ARGUMENTS, own=own) as server, filled(server, bearer):

        def post_with_key() -> bool:
            return send_request("POST", f"{server.url}/classify", b"?", {"X-API-Key": KEY}).status == 429

        eventually(post_with_key)
        assert post_with_key()
        assert post(f"{server.url}/classify", BODY).status == 401
