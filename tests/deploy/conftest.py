"""A server that the deployment tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.models.gray_classifier import publish_shades
from tests.support.server.server_process import ServerProcess


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serves `shades`."""
    models = tmp_path_factory.mktemp("shades")
    publish_shades(models)
    with ServerProcess(models) as server:
        yield server
