"""The data plane, the same under every protocol: admit, decode, batch, label."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import DeadlineExceeded, InvalidImage
from .imaging import Decoder, Picture
from .loaded_model import LoadedModel

# Pictures of a request with no more pixels than this in all are decoded in the event loop's own turn; a
# hop to a thread and back costs about as much as decoding this many.
INLINE_PIXELS = 64 * 1024

Rows = NDArray[np.uint8 | np.float32]
T = TypeVar("T")


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
        pictures = _all_or_invalid(images, [_attempt_open(decoder, image) for image in images])
        if sum(picture.pixels for picture in pictures) <= INLINE_PIXELS:
            outcomes = [_attempt_decode(decoder, picture) for picture in pictures]
        else:
            outcomes = await self._decode_in_pool(decoder, pictures)
            _check_deadline(deadline)
        return np.stack(_all_or_invalid(images, outcomes))

    async def _decode_in_pool(
        self, decoder: Decoder, pictures: Sequence[Picture]
    ) -> list[Rows | InvalidImage]:
        loop = asyncio.get_running_loop()
        shares = np.array_split(np.arange(len(pictures)), min(self._decoders, len(pictures)))

        def decode(share: NDArray[np.intp]) -> list[Rows | InvalidImage]:
            return [_attempt_decode(decoder, pictures[index]) for index in share]

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


def _attempt_open(decoder: Decoder, image: Image) -> Picture | InvalidImage:
    try:
        return decoder.open(image.data)
    except InvalidImage as error:
        return error


def _attempt_decode(decoder: Decoder, picture: Picture) -> Rows | InvalidImage:
    try:
        return decoder.decode(picture)
    except InvalidImage as error:
        return error


def _all_or_invalid(images: Sequence[Image], outcomes: Sequence[T | InvalidImage]) -> list[T]:
    """The outcomes, if every one is good; else one error that names every image that is not."""
    good = [outcome for outcome in outcomes if not isinstance(outcome, InvalidImage)]
    if len(good) == len(outcomes):
        return good
    if len(images) == 1:
        raise next(outcome for outcome in outcomes if isinstance(outcome, InvalidImage))
    bad = "; ".join(_complaints(images, outcomes))
    raise InvalidImage(f"{len(outcomes) - len(good)} of {len(images)} images cannot be read: {bad}")


def _complaints(images: Sequence[Image], outcomes: Sequence[object]) -> Iterator[str]:
    for index, (image, outcome) in enumerate(zip(images, outcomes, strict=True)):
        if isinstance(outcome, InvalidImage):
            name = f" ({image.filename})" if image.filename else ""
            yield f"image {index}{name}: {outcome}"


def _observe(model: LoadedModel, timings: Timings, ranked: Sequence[Sequence[Prediction]]) -> None:
    metrics = model.metrics
    metrics.decode.observe(timings.decode)
    metrics.queue.observe(timings.queue)
    metrics.infer.observe(timings.infer)
    metrics.images.inc(len(ranked))
    for best, *_ in ranked:
        metrics.predictions[best.index].inc()
        metrics.confidence.observe(best.probability)
