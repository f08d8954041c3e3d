"""The pictures of a request, decoded side by side: here if they are small, in a pool of threads if not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import DeadlineExceeded, InvalidImage
from .imaging import Decoder, Picture
from .turns import Turns

# Pictures of a request with no more pixels than this in all are decoded in the event loop's own turn; a
# hop to a thread and back costs about as much as decoding this many.
INLINE_PIXELS = 64 * 1024
# A file that is large for its pixels holds much else to read, which no header tells.
INLINE_BYTES = 64 * 1024

Rows = NDArray[np.uint8 | np.float32]
# What became of an image: the next form of it, or why there is none.
Opened = Picture | InvalidImage
Decoded = Rows | InvalidImage


class Image(NamedTuple):
    """An encoded picture as a caller sent it, with the name it gave it."""

    data: bytes
    filename: str | None = None


class DecodePool:
    """Threads that decode large pictures, shared by every model, which take turns.

    Args:
        timeout: seconds that a request waits for them at the most. A thread inside a codec cannot be
            stopped and goes on to its end; what has not been begun by then never is.
    """

    def __init__(self, threads: int, *, timeout: float = float("inf")) -> None:
        self._threads = threads
        self._timeout = timeout
        self._turns = Turns(threads, "decoder")

    def close(self) -> None:
        self._turns.close()

    async def decode(self, decoder: Decoder, images: Sequence[Image], *, deadline: float) -> Rows:
        """The images as rows `(n, …)` of the model's input; `deadline` is in the event loop's time.

        Raises:
            InvalidImage: some images cannot be decoded; the message names each of them.
            DeadlineExceeded: the time was over before they were.
        """
        _check_deadline(deadline)
        if len(images) == 1 and (row := self._decode_lone(decoder, images[0])) is not None:
            return row[np.newaxis]
        outcomes = self._decode_here(decoder, images)
        if outcomes is None:
            outcomes = await self._decode_in_time(decoder, images, deadline)
            _check_deadline(deadline)
        rows = [row for row in outcomes if not isinstance(row, InvalidImage)]
        if len(rows) < len(images):
            raise _complaint(images, outcomes)
        return rows[0][np.newaxis] if len(rows) == 1 else np.stack(rows)

    def _decode_lone(self, decoder: Decoder, image: Image) -> Rows | None:
        """A single small picture, which is what most requests bring; None if it is not small."""
        if len(image.data) > INLINE_BYTES:
            return None
        picture = decoder.open(image.data)
        return decoder.decode(picture) if picture.pixels <= INLINE_PIXELS else None

    def _decode_here(self, decoder: Decoder, images: Sequence[Image]) -> list[Decoded] | None:
        """What became of each image; None if they are too much work for the event loop's turn."""
        if sum(len(image.data) for image in images) > INLINE_BYTES:
            return None
        opened = [_attempt_open(decoder, image) for image in images]
        if sum(picture.pixels for picture in opened if isinstance(picture, Picture)) > INLINE_PIXELS:
            return None
        return [_attempt_decode(decoder, picture) for picture in opened]

    async def _decode_in_time(
        self, decoder: Decoder, images: Sequence[Image], deadline: float
    ) -> list[Decoded]:
        latest = min(deadline, asyncio.get_running_loop().time() + self._timeout)
        try:
            async with asyncio.timeout_at(latest):
                return await self._decode_elsewhere(decoder, images)
        except TimeoutError as error:
            raise DeadlineExceeded("the deadline passed before the images were decoded") from error

    async def _decode_elsewhere(self, decoder: Decoder, images: Sequence[Image]) -> list[Decoded]:
        """Each thread takes an equal share; one hop there and back for all of it."""
        count = min(self._threads, len(images))
        shares = [images[start::count] for start in range(count)]

        def decode(share: Sequence[Image]) -> list[Decoded]:
            return [_attempt_decode(decoder, _attempt_open(decoder, image)) for image in share]

        done = await asyncio.gather(*(self._turns.run(decoder, partial(decode, share)) for share in shares))
        return [done[index % count][index // count] for index in range(len(images))]


def _check_deadline(deadline: float) -> None:
    if asyncio.get_running_loop().time() >= deadline:
        raise DeadlineExceeded("the deadline passed before the request reached the engine")


def _attempt_open(decoder: Decoder, image: Image) -> Opened:
    try:
        return decoder.open(image.data)
    except InvalidImage as error:
        return error


def _attempt_decode(decoder: Decoder, opened: Opened) -> Decoded:
    if isinstance(opened, InvalidImage):
        return opened
    try:
        return decoder.decode(opened)
    except InvalidImage as error:
        return error


def _complaint(images: Sequence[Image], outcomes: Sequence[Decoded]) -> InvalidImage:
    """One error that names every image that is not good, by its place and its file name."""
    errors = {index: outcome for index, outcome in enumerate(outcomes) if isinstance(outcome, InvalidImage)}
    if len(images) == 1:
        return errors[0]
    names = {index: f" ({images[index].filename})" if images[index].filename else "" for index in errors}
    listed = "; ".join(f"image {index}{names[index]}: {error}" for index, error in errors.items())
    return InvalidImage(f"{len(errors)} of {len(images)} images cannot be read: {listed}")
