"""The memory of a request's decoded images and of its response, known before they exist."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from ..batching.pending_request import Rows
from ..client_budget import Account
from ..errors import PayloadTooLarge
from ..imaging.decode_pool import EncodedImage
from ..repository.manifest import Manifest

SCORE_BYTES = 4
# Memory of a number that is written as JSON: a Python float in a list, and its text.
JSON_NUMBER_BYTES = 56
# Memory of a class that is written as JSON with its label and its probability.
PREDICTION_BYTES = 400


@dataclass(frozen=True, slots=True)
class Footprint:
    """Charges requests to one model for their rows, their scores and their response.

    Attributes:
        row_bytes: bytes of one decoded image; 0 if images may have any size.
        row_scores: scores of one image; 0 if images may have any size.
        maps: scores for each pixel, of a model that takes images of any size.
        classes: number of classes, or of feature maps.
    """

    row_bytes: int
    row_scores: int
    maps: float
    classes: int
    max_response_bytes: int

    @classmethod
    def of(cls, manifest: Manifest, max_response_bytes: int) -> Self:
        spec, classes = manifest.input, len(manifest.labels)
        if spec.dynamic:
            return cls(0, 0, classes / spec.channels, classes, max_response_bytes)
        axes = [axis for axis in manifest.output_axes if axis is not None]
        row_bytes = math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
        return cls(row_bytes, math.prod(axes), 0.0, classes, max_response_bytes)

    def charge_images(self, account: Account, count: int, response_bytes_per_score: int) -> None:
        """Charge for `count` images before they are decoded; for a dynamic size, `charge_rows` has to follow.

        Raises:
            BudgetExceeded, PayloadTooLarge: as `Account.charge`, or the response is too large.
        """
        self._charge(account, count * self.row_bytes, count * self.row_scores, response_bytes_per_score)

    def charge_rows(self, account: Account, rows: Rows, response_bytes_per_score: int) -> None:
        """Charge for rows `(n, …)` before the model runs.

        Raises:
            BudgetExceeded, PayloadTooLarge: as `Account.charge`, or the response is too large.
        """
        self._charge(account, rows.nbytes, self._scores(rows), response_bytes_per_score)

    def check_scores(self, content: Rows | list[EncodedImage], max_bytes: int) -> None:
        """Check that the scores fit a message; those of encoded images of any size are not known yet.

        Raises:
            PayloadTooLarge: they have more bytes.
        """
        scores = len(content) * self.row_scores if isinstance(content, list) else self._scores(content)
        if scores * SCORE_BYTES > max_bytes:
            raise PayloadTooLarge(
                f"the response has {scores * SCORE_BYTES:,} bytes of scores; a message holds at most "
                f"{max_bytes:,} (CONVSERVE_GRPC_MAX_MESSAGE_BYTES)"
            )

    def _scores(self, rows: Rows) -> int:
        return len(rows) * self.row_scores or math.ceil(rows.size * self.maps)

    def prediction_bytes(self, top_k: int) -> int:
        """Bytes of the `top_k` classes of an image, for each of its scores."""
        return PREDICTION_BYTES * min(top_k, self.classes) // self.classes

    def _charge(self, account: Account, row_bytes: int, scores: int, response_bytes_per_score: int) -> None:
        response = scores * max(SCORE_BYTES, response_bytes_per_score)
        if response > self.max_response_bytes:
            raise PayloadTooLarge(
                f"the response needs {response:,} bytes of memory; the limit is {self.max_response_bytes:,} "
                "(CONVSERVE_MAX_RESPONSE_BYTES): send smaller or fewer images, or request binary data"
            )
        account.charge(row_bytes + scores * (SCORE_BYTES + response_bytes_per_score))
