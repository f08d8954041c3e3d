"""Images that are expensive for their size: their memory and time are bounded, and others do not wait."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.http.client import post
from tests.support.images.expensive_images import EXPENSIVE
from tests.support.images.large_images import LARGEST, SIDE, largest, png
from tests.support.models.gray_classifier import image, level
from tests.support.server.metrics_page import scrape_until
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import ServerProcess
from tests.support.server.watched import MAX_GROWTH_OF_A_LARGE_IMAGE, assert_harmless, watched

IMAGES = 150
SMALL = image(level(7))
# A thread finishes the image that it decodes, on a loaded machine; all images of a form take minutes.
ONE_IMAGE = 30.0
MULTIPART = "multipart/form-data; boundary=x"


def form(content: bytes, images: int = IMAGES) -> bytes:
    part = b"--x\r\nContent-Disposition: form-data; name=f; filename=f.png\r\n\r\n%b\r\n" % content
    return part * images + b"--x--\r\n"


@pytest.fixture(scope="module")
def roomy(shades: Path) -> Iterator[ServerProcess]:
    """A server with the default limits, but for the pixels of a request."""
    with ServerProcess(shades, "--max-request-pixels", "20000000000") as server:
        yield server


@pytest.mark.parametrize("name", LARGEST)
@pytest.mark.measures
def test_largest_image_of_each_format_is_decoded_within_the_limits(shades: Path, name: str) -> None:
    data = largest(name)
    with ServerProcess(shades) as server:
        assert post(f"{server.url}/classify", SMALL).status == 200
        statuses: list[int] = []
        assert_harmless(
            server,
            lambda: statuses.append(post(f"{server.url}/classify", data).status),
            growth=MAX_GROWTH_OF_A_LARGE_IMAGE,
        )
        assert set(statuses) == {200}


@pytest.mark.parametrize("name", EXPENSIVE)
@pytest.mark.measures
def test_expensive_image_holds_up_nobody(roomy: ServerProcess, name: str) -> None:
    data = EXPENSIVE[name]()
    statuses = []

    assert_harmless(roomy, lambda: statuses.append(post(f"{roomy.url}/classify", data).status))

    assert set(statuses) <= {200, 400}


@pytest.mark.measures
def test_large_images_are_decoded_one_after_another(shades: Path) -> None:
    data = png("RGBA")
    with ServerProcess(shades) as server:

        def send_four() -> None:
            threads = [threading.Thread(target=post, args=(f"{server.url}/classify", data)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        assert_harmless(server, send_four, growth=MAX_GROWTH_OF_A_LARGE_IMAGE)


def test_image_that_needs_too_much_memory_is_refused(roomy: ServerProcess) -> None:
    data = LARGEST["WebP lossless"][0](SIDE)

    response = post(f"{roomy.url}/classify", data)

    assert response.status == 413
    assert response.json["error"].startswith("decoding the WebP of 7071x7071 pixels needs 6")
    assert response.json["error"].endswith("at most 268,435,456 are allowed (CONVSERVE_MAX_DECODE_BYTES)")


def test_request_of_too_many_pixels_is_refused_before_it_is_decoded(shades: Path) -> None:
    with ServerProcess(shades) as server:
        started = time.monotonic()
        response = post(f"{server.url}/classify", form(png("RGBA")), MULTIPART)

        assert response.status == 413
        assert response.json["error"] == (
            "the images of the request have 7,499,856,150 pixels; at most 500,000,000 are decoded "
            "(CONVSERVE_MAX_REQUEST_PIXELS)"
        )
        assert time.monotonic() - started < ONE_IMAGE


@pytest.mark.measures
def test_no_image_is_decoded_after_the_deadline(roomy: ServerProcess) -> None:
    body = form(png("RGBA"))

    def send() -> None:
        with closing(http.client.HTTPConnection(*roomy.address, timeout=DEADLINE)) as connection:
            headers = {"Content-Type": MULTIPART, "X-Request-Timeout-Ms": "2000"}
            connection.request("POST", "/classify", body, headers)
            assert connection.getresponse().status == 504

    assert_harmless(roomy, send, growth=MAX_GROWTH_OF_A_LARGE_IMAGE)
    started = time.monotonic()
    assert post(f"{roomy.url}/classify", png("RGB")).status == 200
    assert time.monotonic() - started < ONE_IMAGE


def send_and_leave(server: ServerProcess, body: bytes) -> None:
    """Sends a form, and leaves once the server decodes it."""
    with closing(socket.create_connection(server.address)) as connection:
        lines = (
            "POST /classify HTTP/1.1",
            "Host: localhost",
            f"Content-Type: {MULTIPART}",
            f"Content-Length: {len(body)}",
        )
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        scrape_until(server.url, lambda page: page.total("convserve_images_in_flight") == IMAGES)


@pytest.mark.measures
def test_no_image_is_decoded_after_the_client_has_left(roomy: ServerProcess) -> None:
    send_and_leave(roomy, form(png("RGBA")))

    started = time.monotonic()
    assert post(f"{roomy.url}/classify", png("RGB")).status == 200
    assert time.monotonic() - started < ONE_IMAGE


@pytest.mark.measures
def test_shutdown_waits_for_the_image_that_is_being_decoded_only(shades: Path) -> None:
    arguments = ("--max-request-pixels", "20000000000", "--shutdown-timeout-s", "1")
    with ServerProcess(shades, *arguments) as server:
        body = form(png("RGBA"))
        with closing(socket.create_connection(server.address)) as connection:
            head = f"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: {MULTIPART}\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            scrape_until(server.url, lambda page: page.total("convserve_images_in_flight") == IMAGES)
            started = time.monotonic()
            server.stop(signal.SIGTERM)
            assert time.monotonic() - started < 1 + ONE_IMAGE


@pytest.mark.measures
def test_polite_client_is_served_beside_connections_of_large_images(shades: Path) -> None:
    data, polite = form(png("RGBA"), 8), threading.Event()
    with ServerProcess(shades) as server:

        def attack() -> None:
            while not polite.is_set():
                post(f"{server.url}/classify", data, MULTIPART)

        attackers = [threading.Thread(target=attack) for _ in range(4)]
        statuses = []
        with watched(server) as watch:
            for attacker in attackers:
                attacker.start()
            scrape_until(server.url, lambda page: page.total("convserve_images_in_flight") >= 32)
            connection = http.client.HTTPConnection(*server.address, timeout=DEADLINE)
            with closing(connection):
                for _ in range(500):
                    connection.request("POST", "/classify", SMALL, {"Content-Type": "image/png"})
                    response = connection.getresponse()
                    statuses.append((response.status, json.loads(response.read()).get("error")))
            polite.set()
        for attacker in attackers:
            attacker.join()
    assert set(statuses) == {(200, None)}
    assert watch.growth <= MAX_GROWTH_OF_A_LARGE_IMAGE


def scans(count: int) -> bytes:
    data = largest("JPEG progressive")
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


def test_jpeg_of_many_scans_is_refused(roomy: ServerProcess) -> None:
    response = post(f"{roomy.url}/classify", scans(90))

    assert response.status == 400
    assert response.json["error"] == "the JPEG has more than 20 scans and 49,999,041 pixels"
