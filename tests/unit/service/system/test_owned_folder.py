from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from service.system.owned_folder import LOCK, owned_folder
from tests.support.server.output_lines import DEADLINE

PREFIX = "convserve-test-"
ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def abandoned(parent: Path, name: str = "killed") -> Path:
    folder = parent / f"{PREFIX}{name}"
    folder.mkdir()
    (folder / LOCK).touch()
    (folder / "numbers").write_bytes(bytes(1000))
    return folder


def test_folder_exists_during_the_block(parent: Path) -> None:
    with owned_folder(PREFIX) as folder:
        assert list(parent.iterdir()) == [folder]
    assert list(parent.iterdir()) == []


def test_abandoned_folder_is_removed(parent: Path) -> None:
    abandoned(parent)
    with owned_folder(PREFIX) as folder:
        assert list(parent.iterdir()) == [folder]


def test_folder_in_use_is_kept(parent: Path) -> None:
    with owned_folder(PREFIX) as first, owned_folder(PREFIX) as second:
        assert set(parent.iterdir()) == {first, second}


# A supervisor that is killed while a worker that it forked serves its last requests.
KILLED = """
import os, signal, sys
from service.system.owned_folder import owned_folder
with owned_folder("convserve-test-") as folder:
    if os.fork() == 0:
        sys.stdin.read()  # until the test closes it
        os._exit(0)
    print(folder.name, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_folder_of_a_worker_without_its_owner_is_kept(parent: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED],
        env={**os.environ, "TMPDIR": str(parent)},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        folder = parent / process.stdout.readline().strip()
        assert process.wait(DEADLINE) == -signal.SIGKILL
        with owned_folder(PREFIX):
            assert folder.exists()
        process.stdin.close()
        assert process.stdout.read() == ""  # the worker has ended
    with owned_folder(PREFIX):
        assert not folder.exists()


@pytest.mark.parametrize("kind", ["no lock", "link", "file"])
def test_anything_else_is_left_alone(parent: Path, kind: str) -> None:
    path = parent / f"{PREFIX}other"
    match kind:
        case "no lock":
            path.mkdir()
        case "link":
            path.symlink_to(abandoned(parent, "target").rename(parent / "target"))
        case "file":
            path.touch()
    with owned_folder(PREFIX):
        assert os.path.lexists(path)
