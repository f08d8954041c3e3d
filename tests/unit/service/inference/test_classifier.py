"""What the data plane promises whatever the protocol: here, whose pictures share a run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from service.batching.batcher import Batcher
from service.config.settings import Settings
from service.errors import InvalidImage
from service.imaging.decode_pool import INLINE_BYTES, DecodePool, EncodedImage
from service.imaging.decoder import Decoder
from service.inference.classifier import Classifier, Inference
from service.inference.data_plane import DataPlane
from service.inference.model import LoadedModel
from service.telemetry.metrics import ServerMetrics
from tests.support.models.gray_classifier import level, rows

FOREVER = 3600.0
BROKEN = 255


class Codec:
    """Is inside a picture until the test lets it out; the first byte of a file tells its shade."""

    def __init__(self) -> None:
        self.out = [threading.Event() for _ in range(BROKEN + 1)]

    def open(self, data: bytes) -> int:
        assert self.out[data[0]].wait(timeout=30)
        if data[0] == BROKEN:
            raise InvalidImage("it shows nothing")
        return data[0]

    def decode(self, shade: int) -> NDArray[np.uint8]:
        row: NDArray[np.uint8] = rows(level(shade))[0]
        return row


class Asked:
    """A real model whose engine waits without end for pictures that are being decoded."""

    def __init__(self, repository: Path) -> None:
        plane = DataPlane.build(Settings(models=repository), ServerMetrics(CollectorRegistry()))
        plane.registry.open()
        loaded = plane.registry.resolve()
        self.codec = Codec()
        self.sizes: list[int] = []
        batcher = Batcher(
            loaded.engine.run,
            max_batch_size=8,
            wait_per_row=FOREVER,
            observe=lambda scores, seconds: self.sizes.append(len(scores)),
        )
        self._model: LoadedModel = replace(loaded, decoder=cast(Decoder, self.codec), batcher=batcher)
        self._classifier = Classifier(DecodePool(4))

    def ask(self, *shades: int) -> asyncio.Task[Inference]:
        images = [EncodedImage(bytes([shade]) + bytes(INLINE_BYTES)) for shade in shades]
        deadline = asyncio.get_running_loop().time() + FOREVER
        return asyncio.create_task(self._classifier.infer_images(self._model, images, deadline=deadline))

    def let_out(self, *shades: int) -> None:
        for shade in shades:
            self.codec.out[shade].set()

    def close(self) -> None:
        self.let_out(*range(BROKEN + 1))
        self._classifier.close()


def run(repository: Path, test: Callable[[Asked], Coroutine[Any, Any, None]]) -> list[int]:
    """The sizes of the batches that ran."""
    asked = Asked(repository)
    try:
        asyncio.run(test(asked))
    finally:
        asked.close()
    return asked.sizes


def label(inference: Inference) -> int:
    return int(inference.scores.argmax())


def test_pictures_that_are_decoded_together_share_a_run(repository: Path) -> None:
    async def test(asked: Asked) -> None:
        first, second = asked.ask(1), asked.ask(2)
        await asyncio.sleep(0)
        asked.let_out(1, 2)
        assert [label(await task) for task in (first, second)] == [1, 2]

    assert run(repository, test) == [2]


def test_a_lone_picture_waits_for_nobody(repository: Path) -> None:
    async def test(asked: Asked) -> None:
        asked.let_out(3)
        assert label(await asked.ask(3)) == 3

    assert run(repository, test) == [1]


@pytest.mark.parametrize("cancelled", [False, True])
def test_nobody_waits_for_a_picture_that_is_none_or_whose_caller_left(
    repository: Path, cancelled: bool
) -> None:
    async def test(asked: Asked) -> None:
        first, second = asked.ask(1), asked.ask(BROKEN)
        await asyncio.sleep(0)
        asked.let_out(1)
        if cancelled:
            second.cancel()
        else:
            asked.let_out(BROKEN)
        assert label(await first) == 1
        with pytest.raises(asyncio.CancelledError if cancelled else InvalidImage):
            await second

    assert run(repository, test) == [1]
