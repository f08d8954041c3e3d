"""The seconds that a request spends in each stage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Timings(NamedTuple):
    """Seconds per stage; `decode` is 0 for requests that carry tensors.

    Metrics, the log, traces and the Server-Timing header take the stages' names from here.

    Attributes:
        decode: from admission to the last decoded image.
        queue: from submission to the start of the first batch.
        compute: the total run time of the batches that held the request's rows.
    """

    decode: float
    queue: float
    compute: float

    def stages(self) -> Iterator[tuple[str, float]]:
        """Iterate over each stage's name and seconds, in the order of the request's path."""
        return zip(self._fields, self, strict=True)
