"""Runs changed versions of an image through the served model, while it has nothing else to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...batching.pending_request import Scores
from ...inference.model import LoadedModel
from .pixels import background, channels_last, mixed

# Elements of the rows in one run, which takes about as long as one row of a heavy network. The number of rows
# depends on nothing that is measured: a network may compute a row differently in company.
RUN_ELEMENTS: Final = 8192
MAX_RUN_ROWS: Final = 16

Masks = NDArray[np.bool_]


class BackgroundRuns:
    """Runs a row of a model's input with parts of it erased.

    Attributes:
        row: the row.
        size: height and width of the picture.
    """

    def __init__(
        self,
        model: LoadedModel,
        row: NDArray[np.uint8 | np.float32],
        deadline: float,
        run_rows: int | None = None,
    ) -> None:
        """`run_rows` are the rows of one run, where nobody waits for the model; None chooses few."""
        self._model = model
        self._deadline = deadline
        height, width, _ = channels_last(row, model.manifest.input).shape
        self.size = height, width
        self.row = row
        self._spec = model.manifest.input
        self._background = background(row, self._spec)
        rows = run_rows or max(1, min(MAX_RUN_ROWS, RUN_ELEMENTS // row.size))
        self._run_rows = min(rows, model.manifest.max_batch_size)

    async def original(self) -> Scores:
        """The outputs of the row itself, `(1, classes)`."""
        return await self._model.batcher.submit_background(self.row[np.newaxis], deadline=self._deadline)

    async def erased(self, count: int, masks: Callable[[int, int], Masks]) -> Scores:
        """The outputs of `count` versions; `masks(start, stop)` are the erased pixels of some of them.

        Raises:
            DeadlineExceeded, InferenceFailed, ModelNotReady: as the batcher.
        """
        parts = []
        for start in range(0, count, self._run_rows):
            part = masks(start, min(count, start + self._run_rows))
            rows = mixed(self.row, self._background, part, self._spec)
            parts.append(await self._model.batcher.submit_background(rows, deadline=self._deadline))
        return np.concatenate(parts)
