"""The overload cache rejects requests for an overloaded model with the response of the dialect."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.asgi.app import Service, build
from service.config.settings import Settings
from service.http.overload_cache import MAX_URL_LENGTH, MAX_URLS, OverloadCache
from service.http.response_bytes import Headers
from service.inference.model import LoadedModel
from service.protocols.shared.overload_responder import OverloadResponder
from service.protocols.shared.responses import JSON_CONTENT_TYPE, EncodedResponse

SECONDS = 30.0


def rejecting(headers: Headers) -> EncodedResponse | None:
    return EncodedResponse(b"{}", JSON_CONTENT_TYPE, status=429)


def accepting(headers: Headers) -> EncodedResponse | None:
    return None


def test_overloaded_url_is_rejected() -> None:
    cache = OverloadCache()
    cache.add(b"POST", b"/a", rejecting)
    response = cache.find(b"POST", b"/a", [])
    assert response is not None
    assert (response.status_code, response.body) == (429, b"{}")


def test_other_requests_reach_the_application() -> None:
    cache = OverloadCache()
    cache.add(b"POST", b"/a", rejecting)
    cache.add(b"POST", b"/b", accepting)
    cache.add(b"POST", b"/" * (MAX_URL_LENGTH + 1), rejecting)
    for method, url in ((b"PUT", b"/a"), (b"POST", b"/a?b"), (b"POST", b"/b"), (b"POST", b"/" * 257)):
        assert cache.find(method, url, []) is None


def test_number_of_urls_is_bounded() -> None:
    cache = OverloadCache()
    for number in range(MAX_URLS + 1):
        cache.add(b"POST", b"/%d" % number, rejecting)
    assert cache.find(b"POST", b"/0", []) is None
    assert cache.find(b"POST", b"/%d" % MAX_URLS, []) is not None


@pytest.fixture
def service(repository: Path) -> Service:
    return build(Settings(models=repository, queue_limit=3, max_images=3))


@pytest.fixture
def model(client: TestClient, service: Service) -> LoadedModel:
    return service.plane.registry.resolve()


@pytest.fixture
def responder(service: Service) -> OverloadResponder:
    return OverloadResponder(service.telemetry, "native", service.plane.registry.resolve, SECONDS)


def test_requests_are_rejected_until_the_queue_has_room(
    client: TestClient, responder: OverloadResponder, model: LoadedModel
) -> None:
    model.admission.acquire(3)
    response = responder([(b"host", b"here")])
    assert response is not None
    assert (response.status_code, dict(response.raw_headers)[b"retry-after"]) == (429, b"1")
    assert b"the queue is full: 3 of 3 images are queued or being decoded" in response.body
    model.admission.release(1)
    assert responder([]) is None
    page = client.get("/metrics").text
    assert 'convserve_rejected_total{model="shades",reason="overloaded"} 1.0' in page
    assert 'convserve_requests_total{code="429",model="shades",protocol="native",version="1"} 1.0' in page


def test_request_with_its_own_deadline_reaches_the_application(
    responder: OverloadResponder, model: LoadedModel
) -> None:
    model.admission.acquire(3)
    assert responder([(b"x-request-timeout-ms", b"1")]) is None


def test_requests_during_shutdown_reach_the_application(
    client: TestClient, service: Service, responder: OverloadResponder, model: LoadedModel
) -> None:
    model.admission.acquire(3)
    service.plane.registry.stop()
    assert responder([]) is None
    model.admission.release(3)
