from __future__ import annotations

import pytest

from service.errors import ConfigurationError, RemoteServerError
from service.http_client import HttpClient, Response


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://localhost", ("localhost", 80, "", False)),
        ("https://localhost/", ("localhost", 443, "", True)),
        ("http://127.0.0.1:8000/models/", ("127.0.0.1", 8000, "/models", False)),
        ("http://[::1]:8000", ("::1", 8000, "", False)),
    ],
)
def test_url_is_split_into_its_parts(url: str, parts: tuple[str, int, str, bool]) -> None:
    with HttpClient(url) as client:
        assert (client.host, client.port, client.path, client.tls) == parts


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", "http://host:port", ""])
def test_malformed_url_is_rejected(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"the URL must look like http://127\.0\.0\.1:8000, not"):
        HttpClient(url)


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"<html>", "did not return JSON; is it a convserve server?"), (b"[1]", "is not an object")],
)
def test_response_that_is_no_json_object_is_rejected(body: bytes, message: str) -> None:
    with pytest.raises(RemoteServerError, match=message.replace("?", r"\?")):
        Response("http://localhost/models", 200, body).json()
