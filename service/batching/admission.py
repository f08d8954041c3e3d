"""Admission control: limits the images of a model by their number and by their expected time."""

from __future__ import annotations

from collections.abc import Hashable

from ..client_budget import FairShare
from ..errors import Overloaded

# Weight of the newest batch in the moving average of the time per image: about twenty batches count.
_WEIGHT = 0.05

# Part of the limit, and of the longest wait, that only clients with few images may use.
_RESERVED_SHARE = 1 / 8


class Admission:
    """Counts the images that a model has admitted and not yet completed.

    A permit is acquired without waiting and before any costly step: a rejection takes microseconds, and the
    queue is bounded in images and in time, whatever the number of connections. Each model has its own
    admission limit; overload of one does not affect others.

    Images that are being decoded count towards the limit, but not towards the expected time: the engine can
    process others meanwhile. While the queue is more than half full, each client with more than a few images
    may have an equal share of it, and the last part is reserved for the other clients.

    Args:
        limit: the maximum number of admitted images.
        max_wait: seconds that the decoded images may take before the next request starts.
        seconds_per_image: initial estimate of the time per image in a batch.

    Attributes:
        admitted: the number of images admitted and not yet released.
        decoded: those of them that wait for the engine or run in it.
        clients: the admitted images by client.
    """

    def __init__(self, limit: int, *, max_wait: float = float("inf"), seconds_per_image: float = 0.0) -> None:
        self.limit = limit
        self.admitted = 0
        self.decoded = 0
        self._max_wait = max_wait
        self._seconds_per_image = seconds_per_image
        self._share = FairShare(limit, reserved=int(limit * _RESERVED_SHARE))
        self.clients: dict[Hashable, int] = {}
        self._large_clients = 0

    @property
    def expected_wait(self) -> float:
        """Seconds until the decoded images are complete, at the measured rate."""
        return self.decoded * self._seconds_per_image

    def check(self, images: int = 1, *, time_left: float = float("inf"), client: Hashable = None) -> None:
        """Raise if `images` more images of a client do not fit; acquires nothing.

        Args:
            time_left: seconds until the deadline of the request.

        Raises:
            Overloaded: the queue is full, its images take too long, or the client has more than its share.
        """
        if self.admitted + images > self._share.uncontended:
            self._check_share(images, client)
        # An idle model admits every request: the estimate may be outdated, and only a run corrects it.
        if self.decoded and (wait := self.expected_wait) > (longest := min(self._max_wait, time_left)) * (
            1 - _RESERVED_SHARE
        ):
            if wait <= longest and self.clients.get(client, 0) + images <= self._share.little:
                return
            raise Overloaded(
                f"the queue is too long: its {self.decoded} images take {wait * 1e3:.0f} ms; try again later",
                retry_after=wait,
            )

    def acquire(self, images: int, *, time_left: float = float("inf"), client: Hashable = None) -> None:
        """Acquire a permit for `images` images; `release` returns it.

        Raises:
            Overloaded: the queue is full, its images take too long, or the client has more than its share.
        """
        self.check(images, time_left=time_left, client=client)
        self.admitted += images
        self._change(client, images)

    def add_decoded(self, images: int) -> None:
        """Count admitted images that wait for the engine now."""
        self.decoded += images

    def release(self, images: int, *, decoded: bool = False, client: Hashable = None) -> None:
        """Return a permit; `decoded` if its images have been counted by `add_decoded`."""
        self.admitted -= images
        if decoded:
            self.decoded -= images
        self._change(client, -images)

    def record_batch(self, images: int, seconds: float) -> None:
        """Update the time per image with a batch."""
        self._seconds_per_image += _WEIGHT * (seconds / images - self._seconds_per_image)

    def _change(self, client: Hashable, images: int) -> None:
        before = self.clients.get(client, 0)
        after = before + images
        if after:
            self.clients[client] = after
        else:
            del self.clients[client]
        self._large_clients += (after > self._share.little) - (before > self._share.little)

    def _check_share(self, images: int, client: Hashable) -> None:
        admitted, own = self.admitted + images, self.clients.get(client, 0)
        if not self.admitted and images <= self.limit:
            return
        sharers = self._large_clients + (own <= self._share.little)
        if self._share.fits(self.admitted, own, images, lambda: sharers):
            return
        counts = f"{self.admitted} of {self.limit} images are queued or being decoded"
        if admitted <= self.limit and own:
            counts = f"{counts}, {own} of them from this client"
        raise Overloaded(
            f"the queue is full: {counts}, {images} more do not fit; try again later",
            retry_after=self.expected_wait,
        )
