"""Admission control: limits the images of a model by their number and by their expected time."""

from __future__ import annotations

from ..errors import Overloaded

# Weight of the newest batch in the moving average of the time per image: about twenty batches count.
_WEIGHT = 0.05


class Admission:
    """Counts the images that a model has admitted and not yet completed.

    A permit is acquired without waiting and before any costly step: a rejection takes microseconds, and the
    queue is bounded in images and in time, whatever the number of connections. Each model has its own
    admission limit; overload of one does not affect others.

    Args:
        limit: the maximum number of admitted images.
        max_wait: seconds that the admitted images may take before the next request starts.
        seconds_per_image: initial estimate of the time per image in a batch.

    Attributes:
        admitted: the number of images admitted and not yet released.
    """

    def __init__(self, limit: int, *, max_wait: float = float("inf"), seconds_per_image: float = 0.0) -> None:
        self.limit = limit
        self.admitted = 0
        self._max_wait = max_wait
        self._seconds_per_image = seconds_per_image

    @property
    def expected_wait(self) -> float:
        """Seconds until the admitted images are complete, at the measured rate."""
        return self.admitted * self._seconds_per_image

    def check(self, images: int = 1, *, time_left: float = float("inf")) -> None:
        """Raise if `images` more images do not fit; acquires nothing.

        Args:
            time_left: seconds until the deadline of the request.

        Raises:
            Overloaded: the queue is full, or its images take too long.
        """
        if self.admitted + images > self.limit:
            raise Overloaded(
                f"the queue is full: {self.admitted} of {self.limit} images are waiting, "
                f"{images} more do not fit; try again later",
                retry_after=self.expected_wait,
            )
        # An idle model admits every request: the estimate may be outdated, and only a run corrects it.
        if self.admitted and (wait := self.expected_wait) > min(self._max_wait, time_left):
            raise Overloaded(
                f"the queue is too long: its {self.admitted} images take {wait * 1e3:.0f} ms; "
                "try again later",
                retry_after=wait,
            )

    def acquire(self, images: int, *, time_left: float = float("inf")) -> None:
        """Acquire a permit for `images` images; `release` returns it.

        Raises:
            Overloaded: the queue is full, or its images take too long.
        """
        self.check(images, time_left=time_left)
        self.admitted += images

    def release(self, images: int) -> None:
        self.admitted -= images

    def record_batch(self, images: int, seconds: float) -> None:
        """Update the time per image with a batch."""
        self._seconds_per_image += _WEIGHT * (seconds / images - self._seconds_per_image)
