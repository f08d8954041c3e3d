"""Deadlines of requests whose images take long to decode."""

from __future__ import annotations

import asyncio
import threading
from typing import cast

import numpy as np
import pytest

from service.errors import DeadlineExceeded
from service.imaging.decode_pool import INLINE_BYTES, DecodePool, EncodedImage
from service.imaging.decoder import Decoder
from service.imaging.image_header import ImageHeader
from tests.support.manual_clock import ManualClockLoop

LARGE = EncodedImage(bytes(INLINE_BYTES + 1))
LIMIT, FAR = 10.0, 3600.0


class GatedDecoder:
    """Replaces a decoder; decoding blocks until the test opens the gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = asyncio.Event()
        self.opened = 0
        self._loop = asyncio.get_running_loop()

    def empty(self, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return np.empty((count, 1, 1, 1), np.uint8)

    def inspect(self, data: bytes) -> ImageHeader:
        return ImageHeader("PNG", 1000, 1000, 4)

    def decode_bytes(self, header: ImageHeader) -> int:
        return header.pixels * header.pixel_bytes

    def open(self, data: bytes, header: ImageHeader) -> bytes:
        self.opened += 1
        self._loop.call_soon_threadsafe(self.entered.set)
        self.gate.wait()
        return data

    def decode(self, image: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return np.zeros((1, 1, 1), np.uint8)


async def exceed_the_time(timeout: float, deadline: float) -> None:
    loop = cast(ManualClockLoop, asyncio.get_running_loop())
    gated = GatedDecoder()
    pool = DecodePool(1, timeout=timeout)
    decoder = cast(Decoder, gated)
    try:
        running = asyncio.ensure_future(pool.decode(decoder, [LARGE], deadline=deadline))
        await gated.entered.wait()
        waiting = asyncio.ensure_future(pool.decode(decoder, [LARGE, LARGE], deadline=deadline))
        await asyncio.sleep(0)
        loop.advance(LIMIT)
        for request in (running, waiting):
            with pytest.raises(DeadlineExceeded, match="before the images were decoded"):
                await request
    finally:
        gated.gate.set()
        pool.close()
    assert gated.opened == 1, "an image was decoded after its request had timed out"


@pytest.mark.parametrize(("timeout", "deadline"), [(LIMIT, FAR), (FAR, LIMIT)], ids=["timeout", "deadline"])
def test_decode_raises_after_the_time_limit_and_starts_no_waiting_image(
    timeout: float, deadline: float
) -> None:
    with asyncio.Runner(loop_factory=ManualClockLoop) as runner:
        runner.run(exceed_the_time(timeout, deadline))


def test_decode_returns_the_rows_within_the_deadline() -> None:
    async def decode() -> int:
        decoder = GatedDecoder()
        decoder.gate.set()
        pool = DecodePool(2, timeout=FAR)
        try:
            deadline = asyncio.get_running_loop().time() + FAR
            return len(await pool.decode(cast(Decoder, decoder), [LARGE] * 3, deadline=deadline))
        finally:
            pool.close()

    assert asyncio.run(decode()) == 3
