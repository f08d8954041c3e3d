"""Detects changed files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class FileWatcher:
    """Compares inode, size and modification time of files.

    Symbolic links are followed, because Kubernetes updates mounted secrets by replacing a link.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._seen = self._marks()

    def changed(self) -> bool:
        """True if a file has changed since the last call; False while any file is missing."""
        marks = self._marks()
        if marks is None or marks == self._seen:
            return False
        self._seen = marks
        return True

    def _marks(self) -> Sequence[tuple[int, int, int]] | None:
        try:
            statuses = [path.stat() for path in self._paths]
        except OSError:
            return None
        return [(status.st_ino, status.st_size, status.st_mtime_ns) for status in statuses]
