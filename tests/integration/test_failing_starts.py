"""Errors at startup: one line on standard error and an exit code."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.models.broken_versions import change_the_graph, remove_the_manifest
from tests.support.models.gray_classifier import publish_shades
from tests.support.server.server_process import convserve

one_or_two_workers = pytest.mark.parametrize("workers", ["1", "2"])


def complaint(code: int, *arguments: str | Path, own: dict[str, str] | None = None) -> str:
    """The one line on standard error of a server that exits with this code."""
    result = convserve("serve", "--port", "0", *arguments, own=own)
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("convserve: ")
    return line


def test_empty_repository_prevents_the_start(tmp_path: Path) -> None:
    line = complaint(3, "--models", tmp_path, "--workers", "2")
    assert line.startswith(f"convserve: nothing to serve: {tmp_path} contains no")


@one_or_two_workers
def test_only_broken_versions_prevent_the_start(tmp_path: Path, workers: str) -> None:
    change_the_graph(publish_shades(tmp_path, "changed"))
    remove_the_manifest(publish_shades(tmp_path, "no-manifest"))
    line = complaint(3, "--models", tmp_path, "--workers", workers)
    assert "changed version 1: model.onnx is not the file that was published" in line
    assert "no-manifest version 1: manifest.json cannot be read" in line


def test_missing_repository_prevents_the_start(tmp_path: Path) -> None:
    line = complaint(2, "--models", tmp_path / "nowhere", "--workers", "2")
    assert f"{tmp_path / 'nowhere'} cannot be read" in line


@one_or_two_workers
def test_default_model_outside_the_repository_is_an_error(shades: Path, workers: str) -> None:
    line = complaint(2, "--models", shades, "--default-model", "lion", "--workers", workers)
    assert f"the default model 'lion' is not in {shades}; available: shades" in line


@one_or_two_workers
def test_port_in_use_is_an_error(shades: Path, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        line = complaint(2, "--models", shades, "--port", port, "--workers", workers)
    assert f"cannot listen on 127.0.0.1 port {port}" in line


def test_port_shared_by_another_servers_workers_is_an_error(shades: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        port = str(other.getsockname()[1])
        line = complaint(2, "--models", shades, "--port", port, "--workers", "2")
    assert f"cannot listen on 127.0.0.1 port {port}" in line


def test_foreign_address_is_an_error(shades: Path) -> None:
    assert "cannot listen on 192.0.2.1 port 0" in complaint(2, "--models", shades, "--host", "192.0.2.1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONVSERVE_WORKERS", "0"),
        ("CONVSERVE_PROVIDER", "abacus"),
    ],
)
def test_invalid_variable_is_an_error(name: str, value: str) -> None:
    assert name in complaint(2, own={name: value})


def test_port_that_is_not_a_number_is_an_error() -> None:
    result = convserve("serve", own={"CONVSERVE_PORT": "abc"})
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "CONVSERVE_PORT" in line


def test_contradictory_settings_are_an_error(shades: Path) -> None:
    assert "queue_limit (8) is below max_images (256)" in complaint(
        2, "--models", shades, "--queue-limit", "8"
    )


def test_unknown_variable_is_rejected(shades: Path) -> None:
    line = complaint(2, "--models", shades, own={"CONVSERVE_PROT": "8001"})
    assert "CONVSERVE_PROT; the nearest is CONVSERVE_PORT" in line
