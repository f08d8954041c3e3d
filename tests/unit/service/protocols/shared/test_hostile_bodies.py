"""Bodies built to exhaust or crash the parsers cost no more than their size."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.types import Message

from service.asgi.app import create_app
from service.config.limits import JsonLimits
from service.config.settings import Settings
from service.errors import InvalidInput, PayloadTooLarge
from service.protocols.native.json_images import MAX_IMAGES, read_json_images
from service.protocols.shared.json_body import parse_json
from service.protocols.shared.multipart import read_files
from service.protocols.shared.request_body import read_body
from tests.support.http.errors import assert_error
from tests.support.models.gray_classifier import image, level
from tests.support.requests.infer_bodies import JSON_LIMITS

FORM = {"Content-Type": "multipart/form-data; boundary=frontier"}
MANY = 100_000


@contextmanager
def memory_below(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def form(*headers: bytes, data: bytes = image(level(1))) -> bytes:
    parts = [b"--frontier\r\n%b\r\n\r\n%b\r\n" % (header, data) for header in headers]
    return b"".join([*parts, b"--frontier--\r\n"])


def disposition(parameter: bytes) -> bytes:
    return b'Content-Disposition: form-data; name="a"; ' + parameter


@pytest.mark.parametrize("charset", ["raw_unicode_escape", "utf-7", "idna", "punycode", "utf%008", ""])
@pytest.mark.parametrize("path", ["/classify", "/predictions/shades"])
def test_file_name_in_another_charset(client: TestClient, path: str, charset: str) -> None:
    parameter = f"filename*={charset}''x".encode()
    response = client.post(path, content=form(disposition(parameter)), headers=FORM)
    assert_error(response, 400, "malformed header content-disposition: .* UTF-8 or ISO-8859-1")


@pytest.mark.parametrize(
    "boundary", ["boundary*=idna''x", "boundary*" + "9" * 5000 + "=x", '"' + ";" * 31_500]
)
def test_invalid_boundary(client: TestClient, boundary: str) -> None:
    headers = {"Content-Type": f"multipart/form-data; {boundary}"}
    response = client.post("/classify", content=form(), headers=headers)
    assert_error(response, 400, "malformed header content-type")


def test_client_errors_are_not_logged(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "service"):
        body = b"--frontier\r\nbroken header\r\n\r\n--frontier--\r\n"
        response = client.post("/classify", content=body, headers=FORM)
    assert_error(response, 400, "malformed multipart body")
    assert caplog.text == ""


def test_memory_of_a_form_with_many_parts() -> None:
    body = form(*[b"Content-Type: image/x"] * 1001, data=b"")
    with pytest.raises(PayloadTooLarge, match=r"has more than 1,000 parts \(CONVSERVE_MAX_PARTS\)"):
        read_files(FORM["Content-Type"], body, 1000)
    assert len(read_files(FORM["Content-Type"], body, 1001)) == 1001


def test_memory_of_json_with_many_images() -> None:
    body = json.dumps({"images": [{"b64": ""}] * (MAX_IMAGES + 1)}).encode()
    with pytest.raises(PayloadTooLarge, match="images: List should have at most 10000 items"):
        read_json_images(body, JSON_LIMITS)
    body = json.dumps({"images": [{"b64": ""}] * MAX_IMAGES}).encode()
    assert len(read_json_images(body, JSON_LIMITS)) == MAX_IMAGES


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"images":[' + b"0," * MANY + b"0]}", "images: Input should be a valid array"),
        (b'{"images":[' + b"{}," * MANY + b"{}]}", r"images\.0\.b64: Field required"),
        (
            b'{"images":[],' + b",".join(b'"%d":0' % n for n in range(MANY)) + b"}",
            r"0: Extra inputs are not permitted; expected ",
        ),
        (
            b'{"images":[{"b64":"",' + b",".join(b'"%d":0' % n for n in range(MANY)) + b"}]}",
            r"images\.0\.0: Extra inputs are not permitted; expected ",
        ),
    ],
    ids=["numbers", "empty", "members", "members of an image"],
)
@pytest.mark.measures
def test_memory_of_many_errors_is_bounded(body: bytes, sentence: str) -> None:
    with memory_below(25 * len(body)), pytest.raises(InvalidInput, match=sentence):
        read_json_images(body, JSON_LIMITS)


@pytest.mark.measures
def test_memory_of_a_body_in_many_chunks() -> None:
    chunk, size = b"xy", 100_000

    async def receive() -> Message:
        nonlocal size
        size -= len(chunk)
        # A new object for each chunk, as from a socket.
        return {"type": "http.request", "body": bytes(bytearray(chunk)), "more_body": size > 0}

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with memory_below(1_000_000):
        assert asyncio.run(read_body(request, size)) == chunk * 50_000


TENSOR = b'"name":"pixels","shape":[1,8,8,1],"datatype":"UINT8"'


@pytest.fixture
def limited(repository: Path) -> Iterator[TestClient]:
    """The application with a limit of 1000 JSON values."""
    with TestClient(create_app(Settings(models=repository, max_json_values=1000))) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/classify", b'{"images":[%b]}'),
        ("/v2/models/shades/infer", b'{"inputs":[{%b,"data":[%%b]}]}' % TENSOR),
        ("/v2/repository/index", b'{"x":[%b]}'),
        ("/v2/logging", b'{"x":[%b]}'),
        ("/v1/models/shades:predict", b'{"instances":[%b]}'),
        ("/v1/models/shades:classify", b'{"examples":[%b]}'),
    ],
)
@pytest.mark.parametrize("element", [b"[]", b"{}", b"0"])
@pytest.mark.measures
def test_too_many_json_values(limited: TestClient, path: str, body: bytes, element: bytes) -> None:
    content = body % b",".join([element] * 1001)
    with memory_below(100 * len(content)):
        response = limited.post(path, content=content, headers={"Content-Type": "application/json"})
    assert_error(response, 413, "CONVSERVE_MAX_JSON_VALUES")


def test_only_json_values_are_counted(limited: TestClient) -> None:
    """Binary data after the JSON that has many commas, and a large base64 string."""
    pixels = bytes([ord(",")]) * 64 * 20
    head = b'{"inputs":[{%b,"parameters":{"binary_data_size":1280}}]}' % TENSOR.replace(b"[1,", b"[20,")
    headers = {"Inference-Header-Content-Length": str(len(head))}
    assert limited.post("/v2/models/shades/infer", content=head + pixels, headers=headers).status_code == 200
    large = base64.b64encode(image(level(3)) + bytes(100_000)).decode()
    assert limited.post("/classify", json={"images": [{"b64": large}]}).status_code == 200


def test_limits_on_parts_and_depth_apply(repository: Path) -> None:
    settings = Settings(models=repository, max_parts=2, max_json_depth=10)
    with TestClient(create_app(settings)) as client:
        parts = form(*[b"Content-Type: image/x"] * 3, data=b"x")
        assert_error(client.post("/classify", content=parts, headers=FORM), 413, "CONVSERVE_MAX_PARTS")
        assert_error(
            client.post("/predictions/shades", content=parts, headers=FORM), 413, "CONVSERVE_MAX_PARTS"
        )
        deep = b'{"images":' + b"[" * 10 + b"]" * 10 + b"}"
        response = client.post("/classify", content=deep, headers={"Content-Type": "application/json"})
        assert_error(response, 400, "CONVSERVE_MAX_JSON_DEPTH")


@pytest.mark.parametrize(
    ("body", "deep"),
    [
        (b"[" * 9 + b"]" * 9, True),
        (b'{"a":' * 9 + b"1" + b"}" * 9, True),
        (b'[{"a":' * 5 + b"1" + b"}]" * 5, True),
        (b"[" * 8 + b"]" * 8, False),
        (b"[" + b",".join([b"[{}]"] * 20) + b"]", False),
        (b"0", False),
    ],
)
def test_depth_counts_open_brackets(body: bytes, deep: bool) -> None:
    with pytest.raises(InvalidInput, match="deeper than 8") if deep else nullcontext():
        parse_json(TypeAdapter(object), body, JsonLimits(max_values=1000, max_depth=8, max_members=1000))
