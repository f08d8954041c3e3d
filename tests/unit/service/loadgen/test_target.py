"""The load generator reads the model and its input from the pages of any Open Inference server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from service.errors import ConfigurationError, RemoteServerError
from service.loadgen.target import DEFAULT_SIDE, Target


class Handler(BaseHTTPRequestHandler):
    pages: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        page = self.pages.get(self.path)
        self.send_response(404 if page is None else 500 if page == b"error" else 200)
        self.end_headers()
        self.wfile.write(page or b"")

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The pages of the server, by path."""
    pages: dict[str, bytes] = {}
    monkeypatch.setattr(Handler, "pages", pages)
    return pages


@pytest.fixture
def url() -> Iterator[str]:
    """The address of an HTTP server that is not convserve."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def metadata(datatype: str, shape: list[int]) -> bytes:
    return json.dumps({"inputs": [{"name": "x", "datatype": datatype, "shape": shape}]}).encode()


@pytest.mark.parametrize(
    ("datatype", "shape", "dtype", "layout", "sides"),
    [
        ("UINT8", [-1, 28, 30, 1], "uint8", "NHWC", (28, 30)),
        ("FP32", [-1, 3, 224, 200], "float32", "NCHW", (224, 200)),
        ("FP32", [-1, -1, -1, 3], "float32", "NHWC", (DEFAULT_SIDE, DEFAULT_SIDE)),
    ],
)
def test_input_is_read_from_the_metadata_of_the_protocol(
    pages: dict[str, bytes],
    url: str,
    datatype: str,
    shape: list[int],
    dtype: str,
    layout: str,
    sides: tuple[int, int],
) -> None:
    pages["/v2/models/m"] = metadata(datatype, shape)
    target = Target.discover(url, "m", None, None)
    assert target.spec is not None
    assert (target.spec.dtype, target.spec.layout) == (dtype, layout)
    assert (target.spec.height, target.spec.width) == sides
    assert target.tensor.datatype == datatype


@pytest.mark.parametrize("page", [metadata("INT64", [-1, 28, 28, 1]), metadata("FP32", [-1, 10]), b"{}"])
def test_input_that_is_not_an_image_has_no_tensor(pages: dict[str, bytes], url: str, page: bytes) -> None:
    pages["/v2/models/m"] = page
    target = Target.discover(url, "m", None, None)
    assert target.spec is None
    with pytest.raises(ConfigurationError, match="--protocol native"):
        _ = target.tensor


def test_server_without_a_default_model_requires_the_model_option(pages: dict[str, bytes], url: str) -> None:
    pages["/models"] = b"{}"
    with pytest.raises(ConfigurationError, match="--model"):
        Target.discover(url, None, None, None)


@pytest.mark.parametrize("page", [b"error", b"<html>", b"[]"])
def test_invalid_page_is_a_server_error(pages: dict[str, bytes], url: str, page: bytes) -> None:
    pages["/v2/models/m"] = page
    with pytest.raises(RemoteServerError, match=r"/v2/models/m"):
        Target.discover(url, "m", None, None)


def test_error_names_an_unreachable_server() -> None:
    with pytest.raises(RemoteServerError, match=r"127\.0\.0\.1:1\b"):
        Target.discover("http://127.0.0.1:1", "m", None, None)


@pytest.mark.parametrize("address", ["ftp://127.0.0.1", "127.0.0.1:8000", "http://"])
def test_address_must_be_an_http_url(address: str) -> None:
    with pytest.raises(ConfigurationError, match="URL"):
        Target.discover(address, "m", None, None)


@pytest.mark.parametrize("grpc", ["8001", "localhost:", "localhost:http"])
def test_grpc_address_must_have_a_host_and_a_port(pages: dict[str, bytes], url: str, grpc: str) -> None:
    pages["/v2/models/m"] = metadata("FP32", [-1, 3, 8, 8])
    with pytest.raises(ConfigurationError, match="--grpc"):
        Target.discover(url, "m", grpc, None)
    assert Target.discover(url, "m", "[::1]:9000", None).grpc_address.host == "::1"
