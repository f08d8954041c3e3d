"""The pictures of a request, decoded side by side: here if they are small, in a pool of threads if not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DeadlineExceeded, InvalidImage
from .decoder import Decoder, OpenedImage
from .fair_executor import FairExecutor

# Pictures of a request with no more pixels than this in all are decoded in the event loop's own turn; a
# hop to a thread and back costs about as much as decoding this many.
INLINE_PIXELS = 64 * 1024
# A file that is large for its pixels holds much else to read, which no header tells.
INLINE_BYTES = 64 * 1024

Rows = NDArray[np.uint8 | np.float32]
# What became of an image, or why there is nothing.
Opened = OpenedImage | InvalidImage


class EncodedImage(NamedTuple):
    """An encoded picture as a caller sent it, with the name it gave it.

    `fault` is why there are no bytes, where what stood in their place could not be read. It is told with the
    faults of the pictures beside it, once these have been decoded.
    """

    data: bytes
    filename: str | None = None
    fault: InvalidImage | None = None


class DecodePool:
    """Threads that decode large pictures, shared by every model, which take turns.

    Args:
        timeout: seconds that a request waits for them at the most. A thread inside a codec cannot be
            stopped and goes on to its end; what has not been begun by then never is.
    """

    def __init__(self, threads: int, *, timeout: float = float("inf")) -> None:
        self._threads = threads
        self._timeout = timeout
        self._turns = FairExecutor(threads, "decoder")

    def close(self) -> None:
        self._turns.close()

    async def decode(self, decoder: Decoder, images: Sequence[EncodedImage], *, deadline: float) -> Rows:
        """The images as rows `(n, …)` of the model's input; `deadline` is in the event loop's time.

        Raises:
            InvalidImage: some images cannot be decoded; the message names each of them.
            DeadlineExceeded: the time was over before they were.
        """
        _check_deadline(deadline)
        if len(images) == 1 and (row := self._decode_lone(decoder, images[0])) is not None:
            return row[np.newaxis]
        places = _Places(decoder, images)
        if not self._decode_here(places):
            await self._decode_in_time(places, deadline)
            _check_deadline(deadline)
        return places.rows()

    def _decode_lone(self, decoder: Decoder, image: EncodedImage) -> Rows | None:
        """A single small picture, which is what most requests bring; None if it is not small."""
        if len(image.data) > INLINE_BYTES:
            return None
        picture = _open(decoder, image)
        return decoder.decode(picture) if picture.pixels <= INLINE_PIXELS else None

    def _decode_here(self, places: _Places) -> bool:
        """Decode them all, unless they are too much work for the event loop's turn."""
        if sum(len(image.data) for image in places.images) > INLINE_BYTES:
            return False
        opened = [_attempt_open(places.decoder, image) for image in places.images]
        if sum(picture.pixels for picture in opened if isinstance(picture, OpenedImage)) > INLINE_PIXELS:
            return False
        for place, picture in enumerate(opened):
            places.fill(place, picture)
        return True

    async def _decode_in_time(self, places: _Places, deadline: float) -> None:
        latest = min(deadline, asyncio.get_running_loop().time() + self._timeout)
        try:
            async with asyncio.timeout_at(latest):
                await self._decode_elsewhere(places)
        except TimeoutError as error:
            raise DeadlineExceeded("the deadline passed before the images were decoded") from error

    async def _decode_elsewhere(self, places: _Places) -> None:
        """Each thread takes an equal share; one hop there and back for all of it."""
        count = min(self._threads, len(places.images))

        def decode(share: range) -> None:
            for place in share:
                places.fill(place, _attempt_open(places.decoder, places.images[place]))

        shares = [range(start, len(places.images), count) for start in range(count)]
        await asyncio.gather(*(self._turns.run(places.decoder, partial(decode, share)) for share in shares))


class _Places:
    """The pictures of one request and a row for each, which whoever decodes it writes where it stays.

    Threads may fill different places at a time.
    """

    def __init__(self, decoder: Decoder, images: Sequence[EncodedImage]) -> None:
        self.decoder = decoder
        self.images = images
        # One alone keeps the array it is decoded to, and may have any size.
        self._rows = np.empty(0, np.uint8) if len(images) == 1 else decoder.empty(len(images))
        self._faults: dict[int, InvalidImage] = {}

    def fill(self, place: int, picture: Opened) -> None:
        if isinstance(picture, InvalidImage):
            self._faults[place] = picture
            return
        try:
            row = self.decoder.decode(picture)
        except InvalidImage as fault:
            self._faults[place] = fault
        else:
            if len(self.images) == 1:
                self._rows = row[np.newaxis]
            else:
                self._rows[place] = row

    def rows(self) -> Rows:
        """All of them. Raises InvalidImage that names every image that is not good."""
        if self._faults:
            raise _complaint(self.images, self._faults)
        return self._rows


def _check_deadline(deadline: float) -> None:
    if asyncio.get_running_loop().time() >= deadline:
        raise DeadlineExceeded("the deadline passed before the request reached the engine")


def _open(decoder: Decoder, image: EncodedImage) -> OpenedImage:
    if image.fault is not None:
        raise image.fault
    return decoder.open(image.data)


def _attempt_open(decoder: Decoder, image: EncodedImage) -> Opened:
    try:
        return _open(decoder, image)
    except InvalidImage as error:
        return error


def _complaint(images: Sequence[EncodedImage], faults: Mapping[int, InvalidImage]) -> InvalidImage:
    """One error that names every image that is not good, by its place and its file name."""
    errors = dict(sorted(faults.items()))
    if len(images) == 1:
        return errors[0]
    names = {index: f" ({images[index].filename})" if images[index].filename else "" for index in errors}
    listed = "; ".join(f"image {index}{names[index]}: {error}" for index, error in errors.items())
    return InvalidImage(f"{len(errors)} of {len(images)} images cannot be read: {listed}")
