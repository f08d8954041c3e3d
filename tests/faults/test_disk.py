"""Full disks and overwritten files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http.client import get, post
from tests.support.models.gray_classifier import image, level, publish_shades
from tests.support.server.background_load import Load
from tests.support.server.eventually import eventually
from tests.support.server.output_lines import DEADLINE
from tests.support.server.procfs import needs_procfs, workers
from tests.support.server.server_process import ServerProcess, convserve

BODY = image(level(7))
CLIENTS = 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if (
        shutil.which("mount") is None
        or subprocess.run(command, capture_output=True, timeout=DEADLINE).returncode
    ):
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=DEADLINE)


def fill(folder: Path) -> None:
    with (folder / "full").open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


@needs_procfs
def test_full_disk_loses_metrics_but_no_responses(small_disk: Path, tmp_path: Path) -> None:
    """Workers share metrics through files; one that starts on a full disk keeps its own in memory."""
    publish_shades(tmp_path / "models")
    own = {"TMPDIR": str(small_disk)}
    with ServerProcess(tmp_path / "models", "--workers", "2", own=own) as server:
        fill(small_disk)
        with Load(server.url, BODY, clients=CLIENTS, reconnect=True) as load:
            for path in ("/metrics", "/v2/models/shades/stats"):
                assert get(f"{server.url}{path}").status == 200
            before = workers(server.pid)
            victim = min(before)
            os.kill(victim, signal.SIGKILL)
            server.stderr.wait_for(r"its new numbers stay in this process")
            eventually(lambda: len(workers(server.pid)) == 2)
        assert set(load.responses) == {200}
        assert get(f"{server.url}/metrics").status == 200
        assert post(f"{server.url}/classify", b"not an image").status == 400
        assert server.stop() == -signal.SIGTERM
        assert "Traceback" not in server.stderr.text


@needs_procfs
def test_overwritten_model_is_still_served(tmp_path: Path) -> None:
    """A served model is not read again, and an invalid file is never served."""
    version = publish_shades(tmp_path)
    with ServerProcess(tmp_path, "--workers", "2") as server:
        with Load(server.url, BODY, clients=CLIENTS, reconnect=True) as load:
            for name in ("model.onnx", "manifest.json", "golden.npz"):
                (version / name).write_bytes(os.urandom(100_000))
            checked = convserve("check", "--models", tmp_path)
            assert checked.returncode == 3
            assert "manifest.json is not valid" in checked.stderr
            victim = min(workers(server.pid))
            os.kill(victim, signal.SIGKILL)
            # The dead worker is not replaced while the file is invalid; the log has the reason.
            server.stderr.wait_for(
                r"ended with code 3 \(this worker cannot load .*manifest.json is not valid"
            )
            assert post(f"{server.url}/classify", BODY).json["predictions"][0]["label"] == "shade 7"
        assert set(load.responses) == {200}
        assert server.stop() == -signal.SIGTERM
