"""Collects cyclic garbage seldom, because searching for it takes a tenth of the time of a small image."""

from __future__ import annotations

import gc

CHUNKS_PER_COLLECTION = 64


class SeldomGarbage:
    """Replaces Python's automatic collection from now on, for a process that does nothing else.

    What exists already, such as modules and the model, is not searched any more.
    """

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()
        gc.disable()
        self._chunks = 0

    def after_chunk(self) -> None:
        """Collect after each `CHUNKS_PER_COLLECTION` chunks."""
        self._chunks += 1
        if self._chunks % CHUNKS_PER_COLLECTION == 0:
            gc.collect()
