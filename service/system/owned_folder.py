"""Temporary folders that outlive no restart: those of killed processes are removed by the next one."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = "owner.lock"


@contextmanager
def owned_folder(prefix: str) -> Iterator[Path]:
    """A new temporary folder, removed at the end of the block; abandoned folders of this prefix go first.

    The owner and the processes that it forks hold a lock on a file in the folder, which the kernel releases
    when the last of them has ended. A folder is abandoned if nobody holds its lock.
    """
    parent = Path(tempfile.gettempdir())
    _remove_abandoned(parent, prefix)
    # Under another name until it is locked, so that no other process takes it for abandoned.
    folder = Path(tempfile.mkdtemp(prefix=f".new-{prefix}"))
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        folder = folder.rename(parent / folder.name.removeprefix(".new-"))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _remove_abandoned(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}*"):
        # Anybody may create a folder of such a name in a temporary folder that all users share.
        with suppress(OSError):
            if folder.lstat().st_uid == os.geteuid() and not folder.is_symlink():
                _remove_if_unlocked(folder)


def _remove_if_unlocked(folder: Path) -> None:
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)
