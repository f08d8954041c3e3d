"""Bodies over the limit are rejected early and not buffered."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import MAX_BODY_BYTES
from tests.support.http.client import HttpResponse, post
from tests.support.http.raw_http import chunk, connected, head, read_response
from tests.support.models.gray_classifier import image, level
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import memory, needs_procfs
from tests.support.server.server_process import ServerProcess, environment

MEBIBYTE = 1024 * 1024
BODY = image(level(7))


def assert_rejected(response: HttpResponse) -> None:
    assert response.status == 413
    assert str(MAX_BODY_BYTES) in response.json["error"]


def test_large_content_length_is_rejected_before_the_body(server: ServerProcess) -> None:
    with connected(server) as client:
        client.sendall(head(f"Content-Length: {MAX_BODY_BYTES + 1}"))
        assert_rejected(read_response(client))


def test_large_chunks_are_rejected_before_their_end(server: ServerProcess) -> None:
    with connected(server) as client:
        client.sendall(head("Transfer-Encoding: chunked"))
        client.sendall(chunk(bytes(MAX_BODY_BYTES)))
        client.sendall(chunk(b"!"))
        assert_rejected(read_response(client))


def test_body_of_exactly_the_limit_is_accepted(server: ServerProcess) -> None:
    response = post(f"{server.url}/classify", BODY + bytes(MAX_BODY_BYTES - len(BODY)))
    assert response.status == 200  # bytes after the image's end are ignored


def test_chunks_within_the_limit_are_joined(server: ServerProcess) -> None:
    with connected(server) as client:
        pieces = b"".join(chunk(bytes([byte])) for byte in BODY)
        client.sendall(head("Transfer-Encoding: chunked") + pieces + chunk(b""))
        assert read_response(client).json["predictions"][0]["label"] == "shade 7"


@needs_procfs
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.measures
def test_rejected_bodies_are_not_buffered(server: ServerProcess, chunked: bool) -> None:
    before = memory(server.pid, "VmHWM")
    with connected(server) as client:
        client.sendall(head("Transfer-Encoding: chunked" if chunked else f"Content-Length: {64 * MEBIBYTE}"))
        piece = chunk(bytes(MEBIBYTE)) if chunked else bytes(MEBIBYTE)
        for _ in range(64):
            client.sendall(piece)
        assert_rejected(read_response(client))
    assert memory(server.pid, "VmHWM") - before < 16 * MEBIBYTE


@pytest.mark.parametrize("own", [{}, {"CONVSERVE_ACCESS_LOG": "true"}], ids=["direct", "by-uvicorn"])
def test_client_with_connection_close_may_send_everything_before_reading(
    shades: Path, own: dict[str, str]
) -> None:
    """The connection is closed only after the response has been read."""
    with ServerProcess(shades, "--max-body-bytes", str(MAX_BODY_BYTES), own=own) as server:
        for fields in ("Transfer-Encoding: chunked", f"Content-Length: {64 * MEBIBYTE}"):
            chunked = "chunked" in fields
            with connected(server) as client:
                client.sendall(head("Connection: close", fields))
                piece = chunk(bytes(MEBIBYTE)) if chunked else bytes(MEBIBYTE)
                for _ in range(64):
                    client.sendall(piece)
                client.sendall(chunk(b"") if chunked else b"")
                assert_rejected(read_response(client))
                assert client.recv(1) == b""


def test_response_to_connection_close_ends_immediately(server: ServerProcess) -> None:
    with connected(server) as client:
        client.sendall(head("Connection: close", f"Content-Length: {MAX_BODY_BYTES + 1}"))
        assert_rejected(read_response(client))
        assert client.recv(1) == b""


def test_expect_100_continue_is_accepted(server: ServerProcess) -> None:
    with connected(server) as client:
        client.sendall(head("Expect: 100-continue", f"Content-Length: {len(BODY)}"))
        assert client.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(BODY)
        assert read_response(client).status == 200


def test_expect_100_continue_is_rejected_for_a_large_body(server: ServerProcess) -> None:
    with connected(server) as client:
        client.sendall(head("Expect: 100-continue", f"Content-Length: {MAX_BODY_BYTES + 1}"))
        assert client.recv(12) == b"HTTP/1.1 413"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(("extra", "code"), [(0, "200"), (MAX_BODY_BYTES, "413")])
def test_curl_expects_100_continue(server: ServerProcess, tmp_path: Path, extra: int, code: str) -> None:
    (tmp_path / "seven.png").write_bytes(BODY + bytes(extra))
    command = ["curl", "--silent", "--output", "response.json", "--write-out", "%{http_code}"]
    command += ["--header", "Expect: 100-continue", "--header", "Content-Type: image/png"]
    command += ["--data-binary", "@seven.png", f"{server.url}/classify"]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=DEADLINE
    )
    assert (result.returncode, result.stdout) == (0, code)
