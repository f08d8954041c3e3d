"""The connections of HTTP and gRPC fit into the limit of open files."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.server.server_process import ROOT

# A process cannot raise its hard limit again after lowering it, so each case runs in a separate process.
CODE = """
import resource, sys
from service.config.limits import ConnectionLimits, Limits, OpenConnections
from service.config.settings import Settings
files, connections, grpc_port = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
settings = Settings(max_connections=connections, grpc_port=grpc_port)
http = ConnectionLimits.of(settings)
assert http.max_connections == OpenConnections.of(settings).http
reserves = http.reserved_connections + http.reserved_admin_connections + http.closing_connections
print(http.max_connections, reserves, Limits.of(settings).max_grpc_connections)
"""


def counts(files: int, connections: int, grpc_port: int) -> tuple[list[int], str]:
    arguments = [str(number) for number in (files, connections, grpc_port)]
    result = subprocess.run(
        [sys.executable, "-c", CODE, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [int(word) for word in result.stdout.split()], result.stderr


@pytest.mark.parametrize(
    ("connections", "grpc_port", "expected"),
    [(2048, 8001, [2048, 672, 2048]), (2048, 0, [2048, 672, 0]), (8, 8001, [8, 12, 8])],
)
def test_all_connections_fit(connections: int, grpc_port: int, expected: list[int]) -> None:
    assert counts(8192, connections, grpc_port) == (expected, "")


@pytest.mark.parametrize("files", [128, 256, 1024, 4096])
@pytest.mark.parametrize("grpc_port", [0, 8001])
def test_connections_are_lowered_in_proportion(files: int, grpc_port: int) -> None:
    (http, reserves, grpc), warning = counts(files, 10_000, grpc_port)
    assert 0.85 * (files - 96) - 3 < http + reserves + grpc <= files - 96
    assert grpc == (http if grpc_port else 0)
    assert f"max_connections lowered to {http}" in warning
    assert f"at most {files} files may be open (ulimit -n)" in warning


def test_one_connection_is_left_in_the_worst_case() -> None:
    (http, _, grpc), _ = counts(64, 2048, 8001)
    assert (http, grpc) == (1, 0)
