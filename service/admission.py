"""The door of a model: so many images inside at once, and not one more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import Overloaded

# Smoothing of the measured time an image takes: about the last twenty batches count.
_WEIGHT = 0.05


class Admission:
    """Counts the images a model has taken and not yet answered.

    A permit is taken without waiting and before anything costly, so a refusal costs microseconds
    and the backlog is bounded in images, whatever the number of connections.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.admitted = 0
        self._seconds_per_image = 0.0

    @contextmanager
    def admit(self, images: int) -> Iterator[None]:
        """Hold a permit for `images` images while the block runs.

        Raises:
            Overloaded: the model would hold more than `limit` images.
        """
        if self.admitted + images > self.limit:
            raise Overloaded(
                f"the queue is full: {self.admitted} of {self.limit} images are waiting, "
                f"{images} more do not fit; try again later",
                retry_after=self.admitted * self._seconds_per_image,
            )
        self.admitted += images
        try:
            yield
        finally:
            self.admitted -= images

    def served(self, images: int, seconds: float) -> None:
        """Learn from a batch how long an image takes, which tells a refused caller when to come back."""
        self._seconds_per_image += _WEIGHT * (seconds / images - self._seconds_per_image)
