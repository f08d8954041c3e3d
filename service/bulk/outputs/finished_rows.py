"""The rows of an earlier run, so that their files are not classified again."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from hashlib import blake2b

from .row_format import DamagedOutput, SavedRow


class FinishedRows:
    """The files that have a row already.

    A file takes 8 bytes of memory. The rows have the order of the listing, so a listing of the same files is
    compared with them one by one; after the first difference each file is looked up.

    Args:
        rows: the rows in the order of the output.

    Raises:
        DamagedOutput: the rows are of different models, or have different numbers of classes.

    Attributes:
        failed: rows of files that could not be classified.
        end: the offset in the output behind the last row.
        model, version, top_k: of all rows; None if no row tells.
    """

    def __init__(self, rows: Iterable[SavedRow] = ()) -> None:
        self.failed = 0
        self.end = 0
        self.model: str | None = None
        self.version: str | None = None
        self.top_k: int | None = None
        self._paths = array("Q")
        for row in rows:
            self._add(row)
        self._matched = 0
        # After the first difference: the other rows, sorted, and how many of each have been matched.
        self._sorted: array[int] | None = None
        self._counts: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def unlisted(self) -> int:
        """The rows whose files no call of `contains` has named."""
        return len(self._paths) - self._matched

    def contains(self, path: str) -> bool:
        """True if a row of this file exists; each row counts for one call."""
        if self._matched == len(self._paths):
            return False
        key = _key(path)
        if self._sorted is None:
            if self._paths[self._matched] == key:
                self._matched += 1
                return True
            self._sorted = _sorted(self._paths[self._matched :])
        first = bisect_left(self._sorted, key)
        taken = self._counts.get(first, 0)
        if bisect_right(self._sorted, key) - first <= taken:
            return False
        self._counts[first] = taken + 1
        self._matched += 1
        return True

    def _add(self, row: SavedRow) -> None:
        self._paths.append(_key(row.path))
        self.failed += row.failed
        self.end = row.end
        if row.failed:
            return  # a server does not tell the model of an image that it cannot read
        if self.model is None:
            self.model, self.version = row.model, row.version
        elif (row.model, row.version) != (self.model, self.version):
            raise DamagedOutput("its rows are of different models")
        if row.top_k is not None and self.top_k is None:
            self.top_k = row.top_k
        elif row.top_k not in (None, self.top_k):
            raise DamagedOutput("its rows have different numbers of classes")


def _sorted(keys: array[int]) -> array[int]:
    """The keys in order. Python's own sort would need five times the memory."""
    import numpy as np  # seldom needed, and slow to import

    return array("Q", np.sort(np.frombuffer(keys, np.uint64)).tobytes())


def _key(path: str) -> int:
    return int.from_bytes(blake2b(path.encode(errors="surrogatepass"), digest_size=8).digest(), "little")
