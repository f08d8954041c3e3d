"""The door of a model: as many images inside as can be answered in time, and not one more."""

from __future__ import annotations

from ..errors import Overloaded

# Smoothing of the measured time an image takes: about the last twenty batches count.
_WEIGHT = 0.05


class Admission:
    """Counts the images a model has taken and not yet answered.

    A permit is taken without waiting and before anything costly, so a refusal costs microseconds and the
    backlog is bounded, in images and in the time they take at the measured rate, whatever the number of
    connections. Each model has its own door: a flood of requests for one fills no other's.

    Args:
        limit: images inside at the most.
        max_wait: seconds that the images inside may take before the next is begun.
        seconds_per_image: the first guess of the time an image takes in a batch.

    Attributes:
        admitted: images inside.
    """

    def __init__(self, limit: int, *, max_wait: float = float("inf"), seconds_per_image: float = 0.0) -> None:
        self.limit = limit
        self.admitted = 0
        self._max_wait = max_wait
        self._seconds_per_image = seconds_per_image

    @property
    def expected_wait(self) -> float:
        """Seconds until the images inside are answered, at the measured rate."""
        return self.admitted * self._seconds_per_image

    def check(self, images: int = 1, *, time_left: float = float("inf")) -> None:
        """See whether there is room, and take nothing.

        Args:
            time_left: seconds until the answer is of no use any more.

        Raises:
            Overloaded: there is none, or what is inside takes too long.
        """
        if self.admitted + images > self.limit:
            raise Overloaded(
                f"the queue is full: {self.admitted} of {self.limit} images are waiting, "
                f"{images} more do not fit; try again later",
                retry_after=self.expected_wait,
            )
        # An idle model lets anybody try, however long the measurements say it will take.
        if self.admitted and (wait := self.expected_wait) > min(self._max_wait, time_left):
            raise Overloaded(
                f"the queue is too long: the {self.admitted} images in it take {wait * 1e3:.0f} ms; "
                "try again later",
                retry_after=wait,
            )

    def acquire(self, images: int, *, time_left: float = float("inf")) -> None:
        """A permit for `images` images, to be given back.

        Raises:
            Overloaded: as `check` raises it.
        """
        self.check(images, time_left=time_left)
        self.admitted += images

    def release(self, images: int) -> None:
        """They have been answered, well or not."""
        self.admitted -= images

    def record_batch(self, images: int, seconds: float) -> None:
        """Learn from a batch how long an image takes."""
        self._seconds_per_image += _WEIGHT * (seconds / images - self._seconds_per_image)
