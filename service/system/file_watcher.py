"""Files that others change while the server runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class FileWatcher:
    """Tells by size, time and inode, links followed, as Kubernetes swaps its mounted secrets by a link."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._seen = self._marks()

    def changed(self) -> bool:
        """Whether one is another than at the last look; as long as one is not there at all, none is."""
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
