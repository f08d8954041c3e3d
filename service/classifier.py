"""The data plane, the same under every protocol: admit, decode, batch, label."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import DeadlineExceeded, InvalidImage
from .imaging import Decoder, Picture
from .loaded_model import LoadedModel

# Pictures of a request with no more pixels than this in all are decoded in the event loop's own turn; a
# hop to a thread and back costs about as much as decoding this many.
INLINE_PIXELS = 64 * 1024

Rows = NDArray[np.uint8 | np.float32]
# What became of an image: the next form of it, or why there is none.
Opened = Picture | InvalidImage
Decoded = Rows | InvalidImage


class Image(NamedTuple):
    """An encoded picture as a caller sent it, with the name it gave it."""

    data: bytes
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    label: str
    index: int
    probability: float


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds a request spent in each stage."""

    decode: float
    queue: float
    infer: float


@dataclass(frozen=True, slots=True)
class Classification:
    """For each image, in order, its most probable classes, best first."""

    model: str
    version: str
    filenames: list[str | None]
    ranked: list[list[Prediction]]
    timings: Timings

    def as_dict(self) -> dict[str, Any]:
        """The answer in the form of the project's own dialect."""
        predictions: list[dict[str, Any]] = []
        for filename, ranked in zip(self.filenames, self.ranked, strict=True):
            top_k = [{"label": p.label, "index": p.index, "probability": p.probability} for p in ranked]
            predictions.append({"filename": filename, **top_k[0], "top_k": top_k})
        return {"model": self.model, "version": self.version, "predictions": predictions}


class Classifier:
    """Encoded pictures in, labels out.

    Args:
        decoders: threads that decode large pictures.
    """

    def __init__(self, decoders: int) -> None:
        self._pool = ThreadPoolExecutor(decoders, thread_name_prefix="decoder")
        self._decoders = decoders

    def close(self) -> None:
        self._pool.shutdown()

    async def classify(
        self, model: LoadedModel, images: Sequence[Image], *, top_k: int, deadline: float
    ) -> Classification:
        """The `top_k` most probable classes of each image, all of them where the model has fewer.

        `deadline` is in the event loop's time.

        Raises:
            Overloaded: the model's queue has no room for this many images.
            InvalidImage: some images cannot be decoded; the message names each of them.
            DeadlineExceeded, InferenceFailed, ModelNotReady: as the batcher raises them.
        """
        metrics = model.metrics
        with model.admission.admit(len(images)):
            metrics.depth.inc(len(images))
            try:
                started = time.perf_counter()
                rows = await self._decode(model.decoder, images, deadline)
                decoded = time.perf_counter()
                answer = await model.batcher.submit(rows, deadline=deadline)
            finally:
                metrics.depth.dec(len(images))
        timings = Timings(decoded - started, answer.queue_seconds, answer.infer_seconds)
        probabilities = softmax(answer.scores) if model.manifest.output.kind == "logits" else answer.scores
        ranked = rank(probabilities, model.manifest.labels, top_k)
        _observe(model, timings, ranked)
        return Classification(
            model.name, model.version, [image.filename for image in images], ranked, timings
        )

    async def _decode(self, decoder: Decoder, images: Sequence[Image], deadline: float) -> Rows:
        """The images as rows `(n, …)` of the model's input."""
        _check_deadline(deadline)
        opened = [_attempt_open(decoder, image) for image in images]
        if sum(picture.pixels for picture in opened if isinstance(picture, Picture)) <= INLINE_PIXELS:
            outcomes = [_attempt_decode(decoder, picture) for picture in opened]
        else:
            outcomes = await self._decode_in_pool(decoder, opened)
            _check_deadline(deadline)
        rows = [row for row in outcomes if not isinstance(row, InvalidImage)]
        if len(rows) < len(images):
            raise _complaint(images, outcomes)
        return np.stack(rows)

    async def _decode_in_pool(self, decoder: Decoder, opened: Sequence[Opened]) -> list[Decoded]:
        """Each thread takes an equal share; one hop there and back for all of it."""
        loop = asyncio.get_running_loop()
        shares = np.array_split(np.arange(len(opened)), min(self._decoders, len(opened)))

        def decode(share: NDArray[np.intp]) -> list[Decoded]:
            return [_attempt_decode(decoder, opened[index]) for index in share]

        done = await asyncio.gather(*(loop.run_in_executor(self._pool, decode, share) for share in shares))
        return [outcome for outcomes in done for outcome in outcomes]


def rank(probabilities: NDArray[np.float32], labels: Sequence[str], top_k: int) -> list[list[Prediction]]:
    """The `top_k` best classes of each row of `(n, classes)`, best first, and of equals the lowest index."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    values = np.take_along_axis(probabilities, best, axis=1)
    return [
        [Prediction(labels[i], i, p) for i, p in zip(indices, row, strict=True)]
        for indices, row in zip(best.tolist(), values.tolist(), strict=True)
    ]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of `(n, classes)` as probabilities; shifted by the largest, so nothing overflows."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


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


def _observe(model: LoadedModel, timings: Timings, ranked: Sequence[Sequence[Prediction]]) -> None:
    metrics = model.metrics
    metrics.decode.observe(timings.decode)
    metrics.queue.observe(timings.queue)
    metrics.infer.observe(timings.infer)
    metrics.images.inc(len(ranked))
    for best, *_ in ranked:
        metrics.predictions[best.index].inc()
        metrics.confidence.observe(best.probability)
