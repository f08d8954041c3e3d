"""Inference for all protocols: admits, decodes, batches and labels."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..batching.pending_request import Rows, Scores
from ..client_budget import Account
from ..errors import InvalidInput, NotAClassifier
from ..imaging.decode_pool import DecodePool, EncodedImage, ImageHeader
from .model import LoadedModel
from .text_executor import INLINE_BYTES, TextExecutor
from .timings import Timings
from .top_k import Prediction, as_probabilities, rank


class Inference(NamedTuple):
    """The model's outputs `(n, classes)`, as the graph returns them and as probabilities."""

    scores: Scores
    probabilities: Scores
    timings: Timings


class Classification(NamedTuple):
    """The most probable classes of each image, in the order of the images, best first."""

    model: str
    version: str
    filenames: list[str | None]
    ranked: list[list[Prediction]]
    timings: Timings

    def as_dict(self) -> dict[str, Any]:
        """The response body of the native dialect."""
        predictions: list[dict[str, Any]] = []
        for filename, ranked in zip(self.filenames, self.ranked, strict=True):
            top_k = [{"label": p.label, "index": p.index, "probability": p.probability} for p in ranked]
            predictions.append({"filename": filename, **top_k[0], "top_k": top_k})
        return {"model": self.model, "version": self.version, "predictions": predictions}


class Classifier:
    """Runs models on encoded images or tensors.

    Each method takes a deadline in the event loop's time, and the account to which the request's memory is
    charged: decoded images, scores and the response.

    Raises:
        BudgetExceeded: the account cannot hold the request now.
        PayloadTooLarge: the response, or the whole request, is larger than the server can hold.
        Overloaded: the model's queue is full, or it is too long for the deadline.
        DeadlineExceeded: the deadline passed before the response was ready.
        InferenceFailed: the engine failed on a batch that held rows of the request.
        ModelNotReady: the model is being unloaded.
    """

    def __init__(self, pool: DecodePool, texts: TextExecutor) -> None:
        self._pool = pool
        self._texts = texts

    def close(self) -> None:
        self._pool.close()

    async def classify(
        self,
        model: LoadedModel,
        images: Sequence[EncodedImage],
        *,
        top_k: int,
        deadline: float,
        account: Account,
    ) -> Classification:
        """The `top_k` most probable classes of each image, or all classes if the model has fewer.

        Raises:
            InvalidImage: images cannot be decoded; the message names each of them.
            NotAClassifier: the model returns feature maps.
        """
        check_classifies(model)
        inference = await self.infer_images(
            model,
            images,
            deadline=deadline,
            account=account,
            response_bytes_per_score=model.footprint.prediction_bytes(top_k),
        )
        size = inference.probabilities.nbytes
        if size <= INLINE_BYTES:
            ranked = rank(inference.probabilities, model.manifest.labels, top_k)
        else:
            job = partial(rank, inference.probabilities, model.manifest.labels, top_k)
            ranked = await self._texts.run(job, size=size, account=account, deadline=deadline)
        return Classification(
            model=model.name,
            version=model.version,
            filenames=[image.filename for image in images],
            ranked=ranked,
            timings=inference.timings,
        )

    async def infer(
        self,
        model: LoadedModel,
        content: Rows | list[EncodedImage],
        *,
        deadline: float,
        account: Account,
        response_bytes_per_score: int = 0,
    ) -> Inference:
        """`infer_images` for a list of encoded images, otherwise `infer_rows`."""
        if isinstance(content, list):
            return await self.infer_images(
                model,
                content,
                deadline=deadline,
                account=account,
                response_bytes_per_score=response_bytes_per_score,
            )
        return await self.infer_rows(
            model,
            content,
            deadline=deadline,
            account=account,
            response_bytes_per_score=response_bytes_per_score,
        )

    async def infer_images(
        self,
        model: LoadedModel,
        images: Sequence[EncodedImage],
        *,
        deadline: float,
        account: Account,
        response_bytes_per_score: int = 0,
    ) -> Inference:
        """The scores of each image.

        Args:
            response_bytes_per_score: memory of the response in addition to the scores.

        Raises:
            InvalidImage: images cannot be decoded; the message names each of them.
            InvalidInput: several images for a model with a dynamic input size; they might differ in size.
        """
        count = len(images)
        if count > 1 and model.manifest.input.dynamic:
            raise InvalidInput(
                f"{model.name} accepts images of any size, but only one encoded image per request; "
                "send several images of the same size as one tensor"
            )
        model.footprint.charge_images(account, count, response_bytes_per_score)
        with _Permit(model, count, deadline, account.peer) as permit:
            started = time.perf_counter()
            small: Rows | ImageHeader | None = None
            if count == 1:
                small = self._pool.decode_small(model.decoder, images[0], deadline=deadline)
            if isinstance(small, np.ndarray):
                rows = small
            else:
                rows = await self._decode(model, images, deadline, account, small)
            seconds = time.perf_counter() - started
            if model.manifest.input.dynamic:
                model.footprint.charge_rows(account, rows, response_bytes_per_score)
            permit.add_decoded()
            return await _infer(model, rows, seconds, deadline)

    async def decode(
        self, model: LoadedModel, image: EncodedImage, *, deadline: float, account: Account
    ) -> Rows:
        """One image as rows `(1, …)` of the model's input, without a run of the model."""
        small = self._pool.decode_small(model.decoder, image, deadline=deadline)
        if isinstance(small, np.ndarray):
            return small
        return await self._pool.decode(
            model.decoder, [image], deadline=deadline, key=account.peer, header=small, account=account
        )

    async def _decode(
        self,
        model: LoadedModel,
        images: Sequence[EncodedImage],
        deadline: float,
        account: Account,
        header: ImageHeader | None,
    ) -> Rows:
        """Decode images while a batch may wait for them."""
        model.batcher.expect_rows(len(images))
        try:
            return await self._pool.decode(
                model.decoder, images, deadline=deadline, key=account.peer, header=header, account=account
            )
        finally:
            model.batcher.rows_ready(len(images))

    async def input_pixels(
        self, model: LoadedModel, image: EncodedImage, *, deadline: float, account: Account
    ) -> NDArray[np.uint8]:
        """The pixels `(height, width, channels)` that the model receives for an image, before normalisation.

        Raises:
            InvalidImage: the image cannot be decoded.
        """
        model.footprint.charge_images(account, 1, 0)
        decoder = model.decoder.of_pixels()
        rows = await self._pool.decode(decoder, [image], deadline=deadline, key=account.peer, account=account)
        if model.manifest.input.dynamic:
            account.charge(2 * rows.nbytes)  # for the file that is written from them
        pixels: NDArray[np.uint8] = rows[0]
        return pixels

    async def infer_rows(
        self,
        model: LoadedModel,
        rows: Rows,
        *,
        deadline: float,
        account: Account,
        response_bytes_per_score: int = 0,
    ) -> Inference:
        """The scores of rows `(n, …)`, which have the shape and type of the model's input."""
        model.footprint.charge_rows(account, rows, response_bytes_per_score)
        with _Permit(model, len(rows), deadline, account.peer) as permit:
            permit.add_decoded()
            return await _infer(model, rows, 0.0, deadline)


def check_classifies(model: LoadedModel) -> None:
    """Check that a model returns classes.

    Raises:
        NotAClassifier: the model returns feature maps.
    """
    if not model.manifest.classifies:
        raise NotAClassifier(
            f"{model.name} is not a classifier: it returns feature maps; "
            "request them through the Open Inference Protocol"
        )


class _Permit:
    """Admits the images of a request while the block runs."""

    __slots__ = ("_client", "_decoded", "_images", "_model")

    def __init__(self, model: LoadedModel, images: int, deadline: float, client: Hashable) -> None:
        """
        Raises:
            Overloaded: they are not admitted.
        """
        time_left = deadline - asyncio.get_running_loop().time()
        model.admission.acquire(images, time_left=time_left, client=client)
        model.metrics.images_in_flight.inc(images)
        self._model, self._images, self._client = model, images, client
        self._decoded = False

    def add_decoded(self) -> None:
        self._decoded = True
        self._model.admission.add_decoded(self._images)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._model.admission.release(self._images, decoded=self._decoded, client=self._client)
        self._model.metrics.images_in_flight.dec(self._images)


async def _infer(model: LoadedModel, rows: Rows, decode_seconds: float, deadline: float) -> Inference:
    scores, queue_seconds, compute_seconds = await model.batcher.submit(rows, deadline=deadline)
    probabilities = as_probabilities(scores, model.manifest.output.kind)
    model.metrics.images.inc(len(scores))
    return Inference(scores, probabilities, Timings(decode_seconds, queue_seconds, compute_seconds))
