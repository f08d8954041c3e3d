"""A file that others change while the server runs."""

from __future__ import annotations

from pathlib import Path


class Watched:
    """Tells by size, time and inode, links followed, as Kubernetes swaps its mounted secrets by a link."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = self._mark()

    def changed(self) -> bool:
        """Whether it is another than at the last look; a file that has gone is no other."""
        mark = self._mark()
        if mark is None or mark == self._seen:
            return False
        self._seen = mark
        return True

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns
