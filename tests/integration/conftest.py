"""Servers that many tests share; tests must not change them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server.server_process import ServerProcess

MAX_BODY_BYTES = 1_000_000


@pytest.fixture(scope="session")
def shipped() -> Iterator[ServerProcess]:
    """Serves the models shipped with the project; a slow machine takes its time and sheds no load."""
    limits = ("--max-queue-wait-ms", "600000", "--request-timeout-ms", "600000")
    with ServerProcess(None, *limits) as server:
        yield server


@pytest.fixture(scope="session")
def server(shades: Path) -> Iterator[ServerProcess]:
    """Serves `shades` with bodies of up to MAX_BODY_BYTES."""
    with ServerProcess(shades, "--max-body-bytes", str(MAX_BODY_BYTES)) as server:
        yield server
