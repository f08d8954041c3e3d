"""The data plane, the same under every protocol: admit, decode, batch, label."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..batching.pending_request import Rows, Scores
from ..errors import InvalidInput, NotAClassifier
from ..imaging.decode_pool import DecodePool, EncodedImage
from .model import LoadedModel
from .timings import Timings
from .top_k import Prediction, as_probabilities, rank


class Inference(NamedTuple):
    """The model's output for each row, `(n, classes)`, as the graph gave it, and as probabilities."""

    scores: Scores
    probabilities: Scores
    timings: Timings


class Classification(NamedTuple):
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
    """Pictures or tensors in, scores or labels out.

    Every method takes a deadline in the event loop's time, and raises:

        Overloaded: the model's queue has no room for this many images.
        DeadlineExceeded, InferenceFailed, ModelNotReady: as the batcher raises them.
    """

    def __init__(self, pool: DecodePool) -> None:
        self._pool = pool

    def close(self) -> None:
        self._pool.close()

    async def classify(
        self, model: LoadedModel, images: Sequence[EncodedImage], *, top_k: int, deadline: float
    ) -> Classification:
        """The `top_k` most probable classes of each image, all of them where the model has fewer.

        Raises:
            InvalidImage: some images cannot be decoded; the message names each of them.
            NotAClassifier: the model gives maps.
        """
        check_classifies(model)
        inference = await self.infer_images(model, images, deadline=deadline)
        return Classification(
            model=model.name,
            version=model.version,
            filenames=[image.filename for image in images],
            ranked=rank(inference.probabilities, model.manifest.labels, top_k),
            timings=inference.timings,
        )

    async def infer(
        self, model: LoadedModel, content: Rows | list[EncodedImage], *, deadline: float
    ) -> Inference:
        """The scores of rows of the model's input, or of encoded pictures, whichever came."""
        if isinstance(content, list):
            return await self.infer_images(model, content, deadline=deadline)
        return await self.infer_rows(model, content, deadline=deadline)

    async def infer_images(
        self, model: LoadedModel, images: Sequence[EncodedImage], *, deadline: float
    ) -> Inference:
        """The scores of each image.

        Raises:
            InvalidImage: some images cannot be decoded; the message names each of them.
            InvalidInput: more than one for a model that takes any size: they need not make one tensor.
        """
        if model.manifest.input.free and len(images) > 1:
            raise InvalidInput(
                f"{model.name} takes pictures of any size, and so one encoded picture a request; "
                "send several of one size as a tensor"
            )
        count = len(images)
        _admit(model, count, deadline)
        try:
            started = time.perf_counter()
            model.batcher.expect_rows(count)
            try:
                rows = await self._pool.decode(model.decoder, images, deadline=deadline)
            finally:
                model.batcher.rows_ready(count)
            seconds = time.perf_counter() - started
            return await _infer(model, rows, seconds, deadline)
        finally:
            _let_go(model, count)

    async def infer_rows(self, model: LoadedModel, rows: Rows, *, deadline: float) -> Inference:
        """The scores of each row of `(n, …)`, which has the shape and type of the model's input."""
        _admit(model, len(rows), deadline)
        try:
            return await _infer(model, rows, 0.0, deadline)
        finally:
            _let_go(model, len(rows))


def check_classifies(model: LoadedModel) -> None:
    """
    Raises:
        NotAClassifier: the model gives maps.
    """
    if not model.manifest.classifies:
        raise NotAClassifier(
            f"{model.name} is no classifier: it gives maps; ask for them by the Open Inference Protocol"
        )


def _admit(model: LoadedModel, images: int, deadline: float) -> None:
    """Take a permit for the images, at once or not at all, and show it in the queue's gauge."""
    model.admission.acquire(images, time_left=deadline - asyncio.get_running_loop().time())
    model.metrics.depth.inc(images)


def _let_go(model: LoadedModel, images: int) -> None:
    model.admission.release(images)
    model.metrics.depth.dec(images)


async def _infer(model: LoadedModel, rows: Rows, decode_seconds: float, deadline: float) -> Inference:
    scores, queue_seconds, compute_seconds = await model.batcher.submit(rows, deadline=deadline)
    probabilities = as_probabilities(scores, model.manifest.output.kind)
    model.metrics.images.inc(len(scores))
    return Inference(scores, probabilities, Timings(decode_seconds, queue_seconds, compute_seconds))
