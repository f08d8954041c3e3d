"""Batches of images that are decoded concurrently, below all protocols."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from service.batching.batcher import Batcher
from service.client_budget import Account
from service.errors import InvalidImage
from service.imaging.decode_pool import INLINE_BYTES, DecodePool, EncodedImage
from service.imaging.decoder import Decoder
from service.imaging.headers.image_header import ImageHeader
from service.inference.classifier import Classifier, Inference
from service.inference.model import LoadedModel
from service.inference.text_executor import TextExecutor
from tests.support.models.gray_classifier import level, rows
from tests.support.models.loaded import loaded as load

FOREVER = 3600.0
BROKEN = 255


class GatedDecoder:
    """Decodes an image once the test opens its gate; the first byte of the file is its gray level."""

    def __init__(self) -> None:
        self.gates = [threading.Event() for _ in range(BROKEN + 1)]

    def inspect(self, data: bytes) -> ImageHeader:
        return ImageHeader("PNG", 28, 28, 1)

    def decode_bytes(self, header: ImageHeader) -> int:
        return header.pixels

    def read(self, data: bytes, header: ImageHeader) -> NDArray[np.uint8]:
        assert self.gates[data[0]].wait(timeout=30)
        if data[0] == BROKEN:
            raise InvalidImage("broken")
        row: NDArray[np.uint8] = rows(level(data[0]))[0]
        return row


class ClassifierHarness:
    """A classifier on a real model whose batches wait forever for images that are being decoded."""

    def __init__(self, repository: Path) -> None:
        with ThreadPoolExecutor(1) as thread:  # outside the event loop of the test
            loaded = thread.submit(load, repository).result().registry.resolve()
        self.decoder = GatedDecoder()
        self.sizes: list[int] = []
        batcher = Batcher(
            loaded.engine.run,
            max_batch_size=8,
            wait_per_row=FOREVER,
            observe=lambda scores, seconds: self.sizes.append(len(scores)),
        )
        self._model: LoadedModel = replace(loaded, decoder=cast(Decoder, self.decoder), batcher=batcher)
        self._classifier = Classifier(DecodePool(4), TextExecutor())

    def infer(self, *values: int) -> asyncio.Task[Inference]:
        images = [EncodedImage(bytes([value]) + bytes(INLINE_BYTES)) for value in values]
        deadline = asyncio.get_running_loop().time() + FOREVER
        return asyncio.create_task(
            self._classifier.infer_images(self._model, images, deadline=deadline, account=Account.unlimited())
        )

    def open_gates(self, *values: int) -> None:
        for value in values:
            self.decoder.gates[value].set()

    def close(self) -> None:
        self.open_gates(*range(BROKEN + 1))
        self._classifier.close()


def run(repository: Path, test: Callable[[ClassifierHarness], Coroutine[Any, Any, None]]) -> list[int]:
    """Run the test; returns the sizes of the batches that ran."""
    harness = ClassifierHarness(repository)
    try:
        asyncio.run(test(harness))
    finally:
        harness.close()
    return harness.sizes


def label(inference: Inference) -> int:
    return int(inference.scores.argmax())


def test_images_decoded_concurrently_share_a_batch(repository: Path) -> None:
    async def test(harness: ClassifierHarness) -> None:
        first, second = harness.infer(1), harness.infer(2)
        await asyncio.sleep(0)
        harness.open_gates(1, 2)
        assert [label(await task) for task in (first, second)] == [1, 2]

    assert run(repository, test) == [2]


def test_single_image_is_not_delayed(repository: Path) -> None:
    async def test(harness: ClassifierHarness) -> None:
        harness.open_gates(3)
        assert label(await harness.infer(3)) == 3

    assert run(repository, test) == [1]


@pytest.mark.parametrize("cancelled", [False, True])
def test_batch_does_not_wait_for_broken_or_cancelled_images(repository: Path, cancelled: bool) -> None:
    async def test(harness: ClassifierHarness) -> None:
        first, second = harness.infer(1), harness.infer(BROKEN)
        await asyncio.sleep(0)
        harness.open_gates(1)
        if cancelled:
            second.cancel()
        else:
            harness.open_gates(BROKEN)
        assert label(await first) == 1
        with pytest.raises(asyncio.CancelledError if cancelled else InvalidImage):
            await second

    assert run(repository, test) == [1]
