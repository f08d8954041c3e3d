"""The images of one request, and the rows into which they are decoded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidImage, PayloadTooLarge
from .decoder import Decoder
from .headers.image_header import ImageHeader

# A job decodes one image, or as many small ones as have this many pixels and bytes.
JOB_PIXELS = 1 << 18
JOB_BYTES = 1 << 18
# A header takes some microseconds, but may be made to take milliseconds.
INSPECTION_SECONDS = 0.01
# A single image that needs at most this much is decoded by the job that reads its header.
FIRST_JOB_BYTES = 8 << 20

Rows = NDArray[np.uint8 | np.float32]
# Runs a function in a process, as `ProcessPool.call` does.
Call = Callable[[Callable[[], Any], Callable[[], bool]], Any]


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


class Job(NamedTuple):
    """Images that a thread decodes one after another, and the bytes of memory that this needs."""

    indices: Sequence[int]
    size: int


class DecodedBatch:
    """The images of one request, and an array with a row for each of them.

    Threads may decode into different rows at the same time.

    Args:
        header: that of the only image, if it has been read.

    Attributes:
        headers: the headers that were read, by the index of the image. The other images are invalid.
    """

    def __init__(
        self, decoder: Decoder, images: Sequence[EncodedImage], header: ImageHeader | None = None
    ) -> None:
        self.decoder = decoder
        self.images = images
        self.headers: dict[int, ImageHeader] = {} if header is None else {0: header}
        # A single image may have any size; its decoded array becomes the batch.
        self._rows: Rows = np.empty(0, np.uint8) if len(images) == 1 else decoder.empty(len(images))
        self._errors: dict[int, InvalidImage | PayloadTooLarge] = {}
        self._inspected = len(self.headers)
        self._stopped = False
        self._complete = False

    @property
    def pixels(self) -> int:
        return sum(header.pixels for header in self.headers.values())

    def stop(self) -> None:
        """Begin no other image; threads that decode one finish it."""
        self._stopped = True

    def inspect(self, seconds: float = float("inf")) -> bool:
        """Read the headers of the images for about this time; returns False if some are left."""
        latest = time.monotonic() + seconds
        while self._inspected < len(self.images) and not self._stopped:
            try:
                self.headers[self._inspected] = inspect(self.decoder, self.images[self._inspected])
            except (InvalidImage, PayloadTooLarge) as error:
                self._errors[self._inspected] = error
            self._inspected += 1
            if time.monotonic() > latest:
                break
        return self._inspected == len(self.images)

    def begin(self) -> bool:
        """Read headers, for a turn; a single image that needs little memory is decoded at once.

        Returns False if it has to be called again.
        """
        if not self.inspect(INSPECTION_SECONDS):
            return False
        if len(self.images) == 1 and all(size <= FIRST_JOB_BYTES for size in self._sizes().values()):
            self.decode_images((0,))
            self._complete = True
        return True

    def jobs(self) -> Sequence[Job]:
        """The jobs that decode all images; none if one is too large, or `begin` has decoded the only one."""
        if self._complete or any(isinstance(error, PayloadTooLarge) for error in self._errors.values()):
            return ()
        jobs: list[Job] = []
        indices: list[int] = []
        size = pixels = length = 0
        for index, needed in self._sizes().items():
            pixels += self.headers[index].pixels
            length += len(self.images[index].data)
            if indices and (pixels > JOB_PIXELS or length > JOB_BYTES):
                jobs.append(Job(indices, size))
                indices, size = [], 0
                pixels, length = self.headers[index].pixels, len(self.images[index].data)
            indices.append(index)
            size = max(size, needed)
        if indices:
            jobs.append(Job(indices, size))
        return jobs

    def decode_images(self, indices: Iterable[int], call: Call | None = None) -> None:
        """Decode these images into their rows; an error of one is kept for `rows`.

        Args:
            call: runs the codecs in a process.
        """
        decodable = [index for index in indices if index in self.headers]
        images = [(self.images[index].data, self.headers[index]) for index in decodable]
        if call is None:
            results = decode_each(self.decoder, images, lambda: self._stopped)
        else:
            results = call(partial(decode_each, self.decoder, images), lambda: self._stopped)
        # There are fewer results if decoding was stopped.
        for index, result in zip(decodable, results, strict=False):
            if isinstance(result, InvalidImage):
                self._errors[index] = result
            elif len(self.images) == 1:
                self._rows = result[np.newaxis]
            else:
                self._rows[index] = result

    def rows(self) -> Rows:
        """The decoded rows.

        Raises:
            InvalidImage: some images could not be decoded; the message names each of them.
            PayloadTooLarge: some images need too much memory; likewise.
        """
        if self._errors:
            raise _combined_error(self.images, self._errors)
        return self._rows

    def _sizes(self) -> Mapping[int, int]:
        return {index: self.decoder.decode_bytes(header) for index, header in self.headers.items()}


def decode_each(
    decoder: Decoder,
    images: Iterable[tuple[bytes, ImageHeader]],
    stopped: Callable[[], bool] = lambda: False,
) -> list[Rows | InvalidImage]:
    """The decoded image, or the error, of each image until it is stopped."""
    results: list[Rows | InvalidImage] = []
    for data, header in images:
        if stopped():
            break
        try:
            results.append(decoder.read(data, header))
        except InvalidImage as error:
            results.append(error)
    return results


def inspect(decoder: Decoder, image: EncodedImage) -> ImageHeader:
    """
    Raises:
        InvalidImage: the header is invalid, or the image has no bytes.
        PayloadTooLarge: the image needs too much memory.
    """
    if image.error is not None:
        raise image.error
    return decoder.inspect(image.data)


def _combined_error(
    images: Sequence[EncodedImage], errors: Mapping[int, InvalidImage | PayloadTooLarge]
) -> InvalidImage | PayloadTooLarge:
    """One error that names each image that cannot be decoded by its index and file name."""
    if len(images) == 1:
        return errors[0]
    names = {index: f" ({images[index].filename})" if images[index].filename else "" for index in errors}
    listed = "; ".join(f"image {index}{names[index]}: {error}" for index, error in sorted(errors.items()))
    too_large = any(isinstance(error, PayloadTooLarge) for error in errors.values())
    kind = PayloadTooLarge if too_large else InvalidImage
    return kind(f"{len(errors)} of {len(images)} images cannot be read: {listed}")
