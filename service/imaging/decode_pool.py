"""Decodes images: small ones in the event loop, larger ones in threads, and the largest in processes."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from functools import partial

import numpy as np

from ..client_budget import Account
from ..errors import DeadlineExceeded, PayloadTooLarge
from ..process_pool.pool import ProcessPool
from .decoded_batch import DecodedBatch, EncodedImage, Rows, inspect
from .decoder import Decoder
from .fair_executor import FairExecutor
from .headers.image_header import ImageHeader

# Requests of at most this many pixels are decoded in the event loop: handing them to a thread and back costs
# about as much as decoding them.
INLINE_PIXELS = 64 * 1024
# A file that is large for its pixels takes longer to decode than its header suggests.
INLINE_BYTES = 64 * 1024

# Pieces of images that are handled one by one, each for up to 0.1 ms.
INLINE_PARTS = 128

# The memory of the largest small image, such as a photograph whose size is reduced as it is decoded.
SMALL_BYTES = 8 << 20
# A larger image is decoded for longer than about 0.3 seconds.
MEDIUM_BYTES = 64 << 20

__all__ = ["DecodePool", "EncodedImage", "ImageHeader", "Rows"]


class DecodePool:
    """Threads that decode images for all clients in turn.

    An image of more than `SMALL_BYTES` is decoded in a process, which can be killed, and from which the event
    loop need not wait for the interpreter lock.

    Args:
        timeout: maximum seconds that a request waits. After it no image is begun, and a process is killed; a
            thread finishes its small image.
        max_decode_bytes: memory for the large images that are decoded at a time. Small ones, of at most
            `SMALL_BYTES`, are decoded besides, so that a large one does not hold them up.
        max_request_pixels: the maximum number of pixels of all images of a request.
    """

    def __init__(
        self,
        threads: int,
        *,
        processes: ProcessPool | None = None,
        timeout: float = float("inf"),
        max_decode_bytes: float = float("inf"),
        max_request_pixels: float = float("inf"),
    ) -> None:
        self._threads = threads
        self._processes = processes or ProcessPool()
        self._timeout = timeout
        self._max_request_pixels = max_request_pixels
        self._executor = FairExecutor(
            threads, "decoder", room=max_decode_bytes, small=SMALL_BYTES, medium=MEDIUM_BYTES
        )

    def close(self) -> None:
        """Reject the images that are queued, and wait for those that are being decoded."""
        self._executor.close()

    async def decode(
        self,
        decoder: Decoder,
        images: Sequence[EncodedImage],
        *,
        deadline: float,
        key: Hashable = None,
        header: ImageHeader | None = None,
        account: Account | None = None,
    ) -> Rows:
        """The images as rows `(n, …)` of the model's input; `deadline` is in the event loop's time.

        Args:
            key: the client; requests of different clients take turns.
            header: the header of the only image, which `decode_small` has read.
            account: that of the request, which may be evicted until the first image is begun.

        Raises:
            BudgetExceeded: the request was evicted.
            InvalidImage: some images cannot be decoded; the message names each of them.
            PayloadTooLarge: an image needs too much memory, or all of them have too many pixels.
            DeadlineExceeded: the deadline or the timeout passed first.
        """
        _check_deadline(deadline)
        batch = DecodedBatch(decoder, images, header)
        if not self._decode_inline(batch):
            await self._decode_in_threads(batch, deadline, key, account)
            _check_deadline(deadline)
        return batch.rows()

    def decode_small(
        self, decoder: Decoder, image: EncodedImage, *, deadline: float
    ) -> Rows | ImageHeader | None:
        """The row of a single small image, the most frequent request.

        Returns the header instead if the image has too many pixels, and None if it has too many bytes.

        It is decoded at once, in the event loop; raises as `decode` does.
        """
        _check_deadline(deadline)
        if len(image.data) > INLINE_BYTES:
            return None
        header = inspect(decoder, image)
        if header.width * header.height > INLINE_PIXELS or header.parts > INLINE_PARTS:
            return header
        return decoder.read(image.data, header)[np.newaxis]

    def _decode_inline(self, batch: DecodedBatch) -> bool:
        """Decode all images in the event loop; returns False and decodes none if they are too large."""
        if len(batch.images) > INLINE_PARTS or sum(len(image.data) for image in batch.images) > INLINE_BYTES:
            return False
        batch.inspect()
        headers = batch.headers.values()
        if sum(header.pixels for header in headers) > INLINE_PIXELS:
            return False
        if sum(header.parts for header in headers) > INLINE_PARTS:
            return False
        batch.decode_images(batch.headers)
        return True

    async def _decode_in_threads(
        self, batch: DecodedBatch, deadline: float, key: Hashable, account: Account | None
    ) -> None:
        latest = min(deadline, asyncio.get_running_loop().time() + self._timeout)
        key = batch.decoder if key is None else key
        try:
            async with asyncio.timeout_at(latest):
                while not await self._executor.run(key, batch.begin, SMALL_BYTES, account=account):
                    pass  # another client may have its turn
                if batch.pixels > self._max_request_pixels:
                    raise PayloadTooLarge(
                        f"the images of the request have {batch.pixels:,} pixels; "
                        f"at most {self._max_request_pixels:,} are decoded (CONVSERVE_MAX_REQUEST_PIXELS)"
                    )
                await self._decode_jobs(batch, key, account)
        except TimeoutError as error:
            raise DeadlineExceeded("the deadline passed before the images were decoded") from error
        finally:
            batch.stop()

    async def _decode_jobs(self, batch: DecodedBatch, key: Hashable, account: Account | None) -> None:
        jobs = batch.jobs()
        waiting = iter(jobs)

        async def decode() -> None:
            # Each job is queued when the one before it is done, so that other clients have their turn.
            for job in waiting:
                call = None if job.size <= SMALL_BYTES else self._processes.call
                run = partial(batch.decode_images, job.indices, call)
                evictable = account if job is jobs[0] else None
                await self._executor.run(key, run, job.size, account=evictable)

        await asyncio.gather(*(decode() for _ in range(min(self._threads, len(jobs)))))


def _check_deadline(deadline: float) -> None:
    if asyncio.get_running_loop().time() >= deadline:
        raise DeadlineExceeded("the deadline passed before the request reached the engine")
