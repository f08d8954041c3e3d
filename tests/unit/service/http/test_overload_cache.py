"""The overload cache rejects requests to a model without room, in the words of the dialect."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.asgi.app import Service, build
from service.config.settings import Settings
from service.http.overload_cache import MAX_URL_LENGTH, MAX_URLS, OverloadCache
from service.http.response_bytes import Headers
from service.inference.model import LoadedModel
from service.protocols.shared.overload_response import OverloadResponder
from service.protocols.shared.responses import JSON, EncodedResponse

SECONDS = 30.0


def refusing(headers: Headers) -> EncodedResponse | None:
    return EncodedResponse(b"{}", JSON, status=429)


def willing(headers: Headers) -> EncodedResponse | None:
    return None


def test_an_overloaded_url_is_rejected() -> None:
    cache = OverloadCache()
    cache.add(b"POST", b"/a", refusing)
    response = cache.find(b"POST", b"/a", [])
    assert response is not None
    assert (response.status_code, response.body) == (429, b"{}")


def test_other_requests_reach_the_application() -> None:
    cache = OverloadCache()
    cache.add(b"POST", b"/a", refusing)
    cache.add(b"POST", b"/b", willing)
    cache.add(b"POST", b"/" * (MAX_URL_LENGTH + 1), refusing)
    for method, url in ((b"PUT", b"/a"), (b"POST", b"/a?b"), (b"POST", b"/b"), (b"POST", b"/" * 257)):
        assert cache.find(method, url, []) is None


def test_the_number_of_urls_is_bounded() -> None:
    cache = OverloadCache()
    for number in range(MAX_URLS + 1):
        cache.add(b"POST", b"/%d" % number, refusing)
    assert cache.find(b"POST", b"/0", []) is None
    assert cache.find(b"POST", b"/%d" % MAX_URLS, []) is not None


@pytest.fixture
def service(repository: Path) -> Service:
    return build(Settings(models=repository, queue_limit=3, max_images=3))


@pytest.fixture
def model(client: TestClient, service: Service) -> LoadedModel:
    return service.plane.registry.resolve()


@pytest.fixture
def full_house(service: Service) -> OverloadResponder:
    return OverloadResponder(service.telemetry, "native", service.plane.registry.resolve, SECONDS)


def test_a_refusal_stands_until_there_is_room(
    client: TestClient, full_house: OverloadResponder, model: LoadedModel
) -> None:
    model.admission.acquire(3)
    reply = full_house([(b"host", b"here")])
    assert reply is not None
    assert (reply.status_code, dict(reply.raw_headers)[b"retry-after"]) == (429, b"1")
    assert b"the queue is full: 3 of 3 images are waiting" in reply.body
    model.admission.release(1)
    assert full_house([]) is None
    page = client.get("/metrics").text
    assert 'convserve_rejected_total{model="shades",reason="overloaded"} 1.0' in page
    assert 'convserve_requests_total{code="429",model="shades",protocol="native",version="1"} 1.0' in page


def test_a_request_with_a_deadline_of_its_own_is_let_in(
    full_house: OverloadResponder, model: LoadedModel
) -> None:
    model.admission.acquire(3)
    assert full_house([(b"x-request-timeout-ms", b"1")]) is None


def test_a_server_that_shuts_down_says_so_itself(
    client: TestClient, service: Service, full_house: OverloadResponder, model: LoadedModel
) -> None:
    model.admission.acquire(3)
    service.plane.registry.stop()
    assert full_house([]) is None
    model.admission.release(3)
