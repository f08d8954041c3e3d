"""Decodes the images of a request: small ones in the event loop, larger ones in a pool of threads."""

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

# Requests of at most this many pixels are decoded in the event loop: handing them to a thread and back costs
# about as much as decoding them.
INLINE_PIXELS = 64 * 1024
# A file that is large for its pixels takes longer to decode than its header suggests.
INLINE_BYTES = 64 * 1024

Rows = NDArray[np.uint8 | np.float32]
OpenResult = OpenedImage | InvalidImage


class EncodedImage(NamedTuple):
    """An encoded image as a client sent it.

    Attributes:
        filename: the client's name for the image.
        error: set if the request holds no readable bytes for this image. `DecodePool.decode` reports it
            together with the errors of the other images.
    """

    data: bytes
    filename: str | None = None
    error: InvalidImage | None = None


class DecodePool:
    """Threads that decode large images for all models in turn.

    Args:
        timeout: maximum seconds that a request waits. A running codec cannot be interrupted and finishes;
            images that are still queued are dropped.
    """

    def __init__(self, threads: int, *, timeout: float = float("inf")) -> None:
        self._threads = threads
        self._timeout = timeout
        self._executor = FairExecutor(threads, "decoder")

    def close(self) -> None:
        self._executor.close()

    async def decode(self, decoder: Decoder, images: Sequence[EncodedImage], *, deadline: float) -> Rows:
        """The images as rows `(n, …)` of the model's input; `deadline` is in the event loop's time.

        Raises:
            InvalidImage: some images cannot be decoded; the message names each of them.
            DeadlineExceeded: the deadline or the timeout passed first.
        """
        _check_deadline(deadline)
        if len(images) == 1 and (row := self._decode_one_inline(decoder, images[0])) is not None:
            return row[np.newaxis]
        batch = DecodedBatch(decoder, images)
        if not self._decode_inline(batch):
            await self._decode_in_threads(batch, deadline)
            _check_deadline(deadline)
        return batch.rows()

    def _decode_one_inline(self, decoder: Decoder, image: EncodedImage) -> Rows | None:
        """A single small image, the most frequent request; None if it is not small."""
        if len(image.data) > INLINE_BYTES:
            return None
        opened = _open(decoder, image)
        return decoder.decode(opened) if opened.pixels <= INLINE_PIXELS else None

    def _decode_inline(self, batch: DecodedBatch) -> bool:
        """Decode all images in the event loop; returns False and decodes none if they are too large."""
        if sum(len(image.data) for image in batch.images) > INLINE_BYTES:
            return False
        opened = [_try_open(batch.decoder, image) for image in batch.images]
        if sum(image.pixels for image in opened if isinstance(image, OpenedImage)) > INLINE_PIXELS:
            return False
        for index, image in enumerate(opened):
            batch.decode_into(index, image)
        return True

    async def _decode_in_threads(self, batch: DecodedBatch, deadline: float) -> None:
        latest = min(deadline, asyncio.get_running_loop().time() + self._timeout)
        try:
            async with asyncio.timeout_at(latest):
                await self._decode_shares(batch)
        except TimeoutError as error:
            raise DeadlineExceeded("the deadline passed before the images were decoded") from error

    async def _decode_shares(self, batch: DecodedBatch) -> None:
        """Decode an equal share of the images in each thread, as one job."""
        count = min(self._threads, len(batch.images))

        def decode(share: range) -> None:
            for index in share:
                batch.decode_into(index, _try_open(batch.decoder, batch.images[index]))

        shares = [range(start, len(batch.images), count) for start in range(count)]
        await asyncio.gather(*(self._executor.run(batch.decoder, partial(decode, share)) for share in shares))


class DecodedBatch:
    """The images of one request, and an array with a row for each of them.

    Threads may decode into different rows at the same time.
    """

    def __init__(self, decoder: Decoder, images: Sequence[EncodedImage]) -> None:
        self.decoder = decoder
        self.images = images
        # A single image may have any size; its decoded array becomes the batch.
        self._rows = np.empty(0, np.uint8) if len(images) == 1 else decoder.empty(len(images))
        self._errors: dict[int, InvalidImage] = {}

    def decode_into(self, index: int, image: OpenResult) -> None:
        """Decode the image into the row `index`, or keep its error for `rows`."""
        if isinstance(image, InvalidImage):
            self._errors[index] = image
            return
        try:
            row = self.decoder.decode(image)
        except InvalidImage as error:
            self._errors[index] = error
        else:
            if len(self.images) == 1:
                self._rows = row[np.newaxis]
            else:
                self._rows[index] = row

    def rows(self) -> Rows:
        """The decoded rows.

        Raises:
            InvalidImage: some images could not be decoded; the message names each of them.
        """
        if self._errors:
            raise _combined_error(self.images, self._errors)
        return self._rows


def _check_deadline(deadline: float) -> None:
    if asyncio.get_running_loop().time() >= deadline:
        raise DeadlineExceeded("the deadline passed before the request reached the engine")


def _open(decoder: Decoder, image: EncodedImage) -> OpenedImage:
    if image.error is not None:
        raise image.error
    return decoder.open(image.data)


def _try_open(decoder: Decoder, image: EncodedImage) -> OpenResult:
    try:
        return _open(decoder, image)
    except InvalidImage as error:
        return error


def _combined_error(images: Sequence[EncodedImage], errors: Mapping[int, InvalidImage]) -> InvalidImage:
    """One error that names each invalid image by its index and file name."""
    if len(images) == 1:
        return errors[0]
    names = {index: f" ({images[index].filename})" if images[index].filename else "" for index in errors}
    listed = "; ".join(f"image {index}{names[index]}: {error}" for index, error in sorted(errors.items()))
    return InvalidImage(f"{len(errors)} of {len(images)} images cannot be read: {listed}")
