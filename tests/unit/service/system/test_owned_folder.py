from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from service.system.owned_folder import LOCK, owned_folder

PREFIX = "convserve-test-"


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


def test_folder_of_a_forked_process_is_kept(parent: Path) -> None:
    """A worker serves its last requests after its supervisor was killed."""
    read, write = os.pipe()
    with owned_folder(PREFIX) as first:
        worker = os.fork()
        if worker == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        folder = first
        # As if the supervisor had been killed: its folder stays, and only the worker holds the lock.
        os.rename(folder, parent / "kept")
    os.rename(parent / "kept", folder)
    with owned_folder(PREFIX):
        assert folder.exists()
    os.close(read)
    os.close(write)
    os.waitpid(worker, 0)
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
