"""The server contacts only its clients and writes no files of its own."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.http.client import post
from tests.support.models.gray_classifier import image, level
from tests.support.server.server_process import ServerProcess


def test_server_writes_nothing_to_the_home_folder(shades: Path, tmp_path: Path) -> None:
    """ONNX Runtime's telemetry would store an identity and reports in the home folder and send them."""
    homes = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    with ServerProcess(shades, "--workers", "2", own=homes) as server:
        assert post(f"{server.url}/classify", image(level(7))).status == 200
        assert server.stop() == -signal.SIGTERM
        assert list(tmp_path.rglob("*")) == []
        assert server.leftovers == []
