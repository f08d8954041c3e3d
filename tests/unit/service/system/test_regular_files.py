from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.system.regular_files import private_file, read_regular
from tests.support.server.procfs import needs_procfs

LIMIT = 100


def test_file_up_to_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(LIMIT))
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "file", LIMIT) == bytes(LIMIT)
    assert read_regular(tmp_path / "link", LIMIT) == bytes(LIMIT)
    with pytest.raises(OSError, match="it is larger than 99 bytes"):
        read_regular(tmp_path / "file", LIMIT - 1)


def test_other_kinds_of_files_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match="it is not a regular file"):
            read_regular(path, LIMIT)


@needs_procfs
def test_file_that_is_longer_than_its_size_says_is_refused() -> None:
    assert Path("/proc/self/maps").stat().st_size == 0
    with pytest.raises(OSError, match="it is larger than 100 bytes"):
        read_regular(Path("/proc/self/maps"), LIMIT)


def test_missing_file_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "nowhere", LIMIT)


def test_private_file_can_be_read_during_the_block() -> None:
    with private_file(b"secret") as path:
        assert path.read_bytes() == b"secret"
        assert path.read_bytes() == b"secret"
    assert not path.exists()
