"""A server process to throw things at, and how many of them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.process.server_process import ServerProcess
from tests.shades import publish_shades

# A long run asks for more: CONVSERVE_FUZZ=100 for a hundred times as many as in the suite.
FACTOR = int(os.environ.get("CONVSERVE_FUZZ", "1"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    models = tmp_path_factory.mktemp("models")
    publish_shades(models)
    with ServerProcess(models, "--grpc-port", "0", "--max-body-bytes", "2000000") as server:
        yield server
        assert server.stderr.text == ""
