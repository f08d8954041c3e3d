"""The server process under test, and the number of requests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server.server_process import ServerProcess

# CONVSERVE_FUZZ=100 sends a hundred times as many requests.
FACTOR = int(os.environ.get("CONVSERVE_FUZZ", "1"))


@pytest.fixture(scope="session")
def server(shades: Path) -> Iterator[ServerProcess]:
    with ServerProcess(shades, "--grpc-port", "0", "--max-body-bytes", "2000000") as server:
        yield server
        assert server.stderr.text == ""
