"""The memory and the waits that the text of requests costs: headers, forms, JSON and compressed bodies."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.http.client import HttpResponse, send_request
from tests.support.models.gray_classifier import image, level
from tests.support.server.procfs import needs_procfs
from tests.support.server.server_process import ServerProcess
from tests.support.server.watched import MEBIBYTE, assert_harmless

pytestmark = [needs_procfs, pytest.mark.measures]

BODY_BYTES = 32 * MEBIBYTE - 1000
# Requests of one attack, at a time.
CONNECTIONS = 10

JSON = {"Content-Type": "application/json"}
PREDICT = "/v1/models/convnet:predict"
CLASSIFY = "/v1/models/convnet:classify"
INFER = "/v2/models/convnet/infer"
FORM = {"Content-Type": "multipart/form-data; boundary=frontier"}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """The shipped models with the default settings."""
    with ServerProcess(None) as server:
        yield server
        assert server.stderr.text == ""


def post(server: ServerProcess, path: str, body: bytes, headers: Mapping[str, str]) -> HttpResponse:
    return send_request("POST", server.url + path, body, headers)


def attack(
    server: ServerProcess,
    paths: Sequence[str],
    body: bytes,
    headers: Mapping[str, str],
    connections: int = 1,
) -> set[int]:
    """The statuses of requests for each path, as many at a time."""
    statuses: set[int] = set()

    def send() -> None:
        with ThreadPoolExecutor(connections) as pool:
            for path in paths:
                futures = [pool.submit(post, server, path, body, headers) for _ in range(connections)]
                statuses.update(future.result().status for future in futures)

    assert_harmless(server, send)
    return statuses


def form(header: bytes, count: int) -> bytes:
    part = b"--frontier\r\n%b\r\n\r\n%b\r\n" % (header, image(level(1)))
    return part * count + b"--frontier--\r\n"


SEMICOLONS = b'Content-Disposition: form-data;"' + b";" * 3900


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (form(SEMICOLONS, 250), FORM),
        (form(SEMICOLONS + b";" * 12_000, 40), FORM),
        (form(b"A: b\r\n" * 15 + b"A: b", 1000), FORM),
        (b"--frontier\r\n\r\n" + b"\r\n--frontiers" * (BODY_BYTES // 13), FORM),
        (b"x", {"Content-Type": 'multipart/form-data;"' + ";" * 31_500}),
        (
            b"--" + b"a" * 100 + b"b" + b"a" * 100 + b"\r\n\r\n" + b"a" * (BODY_BYTES - 300),
            {"Content-Type": f"multipart/form-data; boundary={'a' * 100}b{'a' * 100}"},
        ),
    ],
    ids=["parameters", "long-headers", "many-headers", "false-boundaries", "content-type", "near-boundaries"],
)
def test_forms(server: ServerProcess, body: bytes, headers: Mapping[str, str]) -> None:
    assert attack(server, ["/classify", "/predictions/convnet"], body, headers) <= {400, 413}


def filled(before: bytes, element: bytes, after: bytes, size: int = BODY_BYTES) -> bytes:
    return before + element * ((size - len(before) - len(after)) // len(element)) + after


HOSTILE = {
    "closing": filled(b"", b"]", b""),
    "opening": filled(b"", b"[", b""),
    "lists": filled(b'{"instances":[', b"[],", b"0]}"),
    "objects": filled(b'{"instances":[', b"{},", b"0]}"),
    "deep-lists": filled(b'{"instances":[', b"[" * 90 + b"]" * 90 + b",", b"0]}"),
    "members": b'{"instances":{' + b",".join(b'"%d":0' % n for n in range(2_000_000)) + b"}}",
    "repeated-members": filled(b'{"instances":{', b'"":0,', b'"":0}}'),
    "strings": filled(b'{"instances":[', b'"",', b"0]}"),
    "numbers": filled(b'{"instances":[', b"0,", b"0]}"),
    "accepted-numbers": filled(b'{"instances":[', b"0,", b"0]}", 3_999_000),
    "infinities": filled(b'{"instances":[', b"1e400000,", b"0]}", 16 * MEBIBYTE),
    "long-integers": filled(b'{"instances":[', b"9" * 4000 + b",", b"0]}"),
    "long-fractions": filled(b'{"instances":[', b"1." + b"1234567" * 100 + b",", b"0]}"),
    "literals": filled(b'{"instances":[', b"true,", b"0]}"),
    "escapes": filled(b'{"instances":["', b"\\u00e9", b'"]}'),
    "accepted-escapes": filled(b'{"instances":["', b"\\u00e9", b'"]}', 5_900_000),
    "quotes": filled(b'{"instances":["', b'\\"', b'"]}'),
    "text": filled(b'{"instances":["', "é".encode(), b'"]}'),
    "space": filled(b'{"instances":', b" ", b"0}"),
    "unfinished": filled(b'{"instances":["', b"A", b""),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_json(server: ServerProcess, body: bytes) -> None:
    assert attack(server, [PREDICT, INFER, "/classify"], body, JSON) <= {400, 413}


@pytest.mark.parametrize("body", [HOSTILE["lists"][:3_000_000], HOSTILE["accepted-numbers"]], ids=len)
def test_many_connections_with_little_compressed_json(server: ServerProcess, body: bytes) -> None:
    headers = {**JSON, "Content-Encoding": "gzip"}
    packed = gzip.compress(body)
    assert len(packed) < 20_000
    assert attack(server, [PREDICT, INFER], packed, headers, CONNECTIONS) <= {400, 413, 429}


def test_compressed_body_that_inflates_a_thousand_times(server: ServerProcess) -> None:
    headers = {**JSON, "Content-Encoding": "gzip"}
    for plain in (b" " * BODY_BYTES, bytes(2 * BODY_BYTES)):
        assert attack(server, [PREDICT], gzip.compress(plain), headers, CONNECTIONS) <= {413, 429}


LARGEST: dict[str, tuple[str, dict[str, object], set[int]]] = {
    "images": (PREDICT, {"instances": [{"b64": "A" * (BODY_BYTES // 260 // 4 * 4)}] * 256}, {400}),
    "one-image": ("/classify", {"images": [{"b64": "A" * (BODY_BYTES // 4 * 4 - 100)}]}, {400}),
    "numbers": (PREDICT, {"instances": [[[[value]] * 28 for value in range(28)]] * 256}, {200}),
}


@pytest.mark.parametrize(("path", "document", "expected"), LARGEST.values(), ids=LARGEST)
def test_largest_requests(
    server: ServerProcess, path: str, document: Mapping[str, object], expected: set[int]
) -> None:
    body = json.dumps(document).encode()
    assert attack(server, [path], body, JSON, 2) <= expected | {429}


NUMBERS = b"[" + b",".join([b"1"] * 600_000) + b"]"
IMAGE = b"A" * (6 * MEBIBYTE)
# What a client writes in place of an array that the server has cut out of the text.
CUT_OUT = b",".join(['"\ue000array 0"'.encode()] * 100)
TENSOR = (
    b'{"inputs":[{"name":"pixels","datatype":"UINT8","shape":[1,28,28,1],"parameters":{"x":%b},"data":[%b]}]}'
)
REPEATED = {
    "array": (INFER, TENSOR % (NUMBERS, CUT_OUT)),
    "instances": (PREDICT, b'{"instances":[%b],"x":%b}' % (CUT_OUT, NUMBERS)),
    "numbers-of-context": (CLASSIFY, b'{"context":{"x":%b},"examples":[%b{}]}' % (NUMBERS, b"{}," * 255)),
    "short-context": (
        CLASSIFY,
        b'{"context":{"x":[%b1]},"examples":[%b{}]}' % (b"1," * 15_000, b"{}," * 255),
    ),
    "image-of-context": (
        CLASSIFY,
        b'{"context":{"x":{"b64":"%b"}},"examples":[%b{}]}' % (IMAGE, b"{}," * 255),
    ),
}


def test_long_body_for_a_setting_is_refused(server: ServerProcess) -> None:
    paths = ["/v2/logging", "/v2/trace/setting", "/v2/repository/index"]
    body = b'{"x":[%b0]}' % (b"123456789012345," * 1_900_000)
    assert attack(server, paths, body, JSON, 3) == {413}


@pytest.mark.parametrize(("path", "body"), REPEATED.values(), ids=REPEATED)
def test_repeated_values(server: ServerProcess, path: str, body: bytes) -> None:
    """A value that is sent once and stands for many does not take the memory of many."""
    assert attack(server, [path], body, JSON) <= {400, 413}


def test_large_responses(server: ServerProcess) -> None:
    """Feature maps as JSON, compressed and not."""
    pixels = bytes(512 * 512)
    size = {"binary_data_size": len(pixels)}
    tensor = {"name": "pixels", "shape": [1, 512, 512, 1], "datatype": "UINT8", "parameters": size}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head)), **JSON}
    for accepted in ({}, {"Accept-Encoding": "gzip"}):
        given = {**headers, **accepted}
        assert attack(server, ["/v2/models/filters/infer"], head + pixels, given) == {200}


def test_images_of_compressed_json_are_classified(server: ServerProcess) -> None:
    """Black images, which compress to a hundredth."""
    document = {"instances": [[[[0]] * 28] * 28] * 256}
    body = gzip.compress(json.dumps(document).encode())
    response = post(server, PREDICT, body, {**JSON, "Content-Encoding": "gzip"})
    assert response.status == 200
    assert len(response.json["predictions"]) == 256


SMALL = {
    "lists": (PREDICT, filled(b'{"instances":[', b"[],", b"0]}", 32_000), JSON),
    "deep-lists": (PREDICT, filled(b'{"instances":[', b"[" * 90 + b"]" * 90 + b",", b"0]}", 32_000), JSON),
    "form": (
        "/classify",
        (b"--a\r\n" + b"a:\r\n" * 10 + b"\r\n\r\n") * 1000 + b"--a--",
        {"Content-Type": "multipart/form-data; boundary=a"},
    ),
}


@pytest.mark.parametrize(("path", "body", "headers"), SMALL.values(), ids=SMALL)
def test_small_bodies_on_many_connections(
    server: ServerProcess, path: str, body: bytes, headers: Mapping[str, str]
) -> None:
    assert attack(server, [path] * 30, body, headers, CONNECTIONS) <= {400, 413}
