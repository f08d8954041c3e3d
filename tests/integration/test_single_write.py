"""Responses written in one call match uvicorn's byte for byte."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http.raw_http import connected, head
from tests.support.models.gray_classifier import image, level
from tests.support.server.server_process import ServerProcess

BODY = image(level(7))
LENGTH = f"Content-Length: {len(BODY)}"
CLOSE = "Connection: close"
NOT_AN_IMAGE = head("Content-Length: 3", CLOSE) + b"abc"
CONVERSATIONS = {
    "one": head(LENGTH, CLOSE) + BODY,
    "one of HTTP/1.0": head(LENGTH).replace(b"HTTP/1.1", b"HTTP/1.0") + BODY,
    "three in one go": 2 * (head(LENGTH) + BODY) + head(LENGTH, CLOSE) + BODY,
    "an error": NOT_AN_IMAGE,
    "an error after a response": head(LENGTH) + BODY + NOT_AN_IMAGE,
    "a tensor": head(LENGTH, CLOSE, path="/v1/models/shades:predict") + BODY,
    "a body in pieces": head("Transfer-Encoding: chunked", CLOSE)
    + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    "one that is asked whether it may": head(LENGTH, "Expect: 100-continue", CLOSE) + BODY,
}
# Headers that differ: the date, and Vary, which CORS adds.
PASSING = re.compile(rb"(?<=date: )[^\r]*|(?<=dur=)[\d.]*|vary: Origin\r\n")


@pytest.fixture(scope="module")
def direct(shades: Path) -> Iterator[ServerProcess]:
    with ServerProcess(shades) as server:
        yield server
        assert server.stderr.text == ""


@pytest.fixture(scope="module")
def watched(shades: Path) -> Iterator[ServerProcess]:
    """A server with middleware that adds no header for clients other than browsers."""
    with ServerProcess(shades, "--cors-origins", "https://example.org") as server:
        yield server
        assert server.stderr.text == ""


def converse(server: ServerProcess, sent: bytes) -> bytes:
    """The received bytes until the server closes, without the headers that differ."""
    with connected(server) as client:
        client.sendall(sent)
        return PASSING.sub(b"", b"".join(iter(lambda: client.recv(65536), b"")))


@pytest.mark.parametrize("sent", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_response_matches_uvicorns_byte_for_byte(
    direct: ServerProcess, watched: ServerProcess, sent: bytes
) -> None:
    expected = converse(watched, sent)
    assert expected.count(b"HTTP/1.1 200 OK\r\n") + expected.count(b"HTTP/1.1 400 Bad Request\r\n") >= 1
    assert converse(direct, sent) == expected
