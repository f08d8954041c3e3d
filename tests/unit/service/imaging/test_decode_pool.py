"""Pictures that take long: the request is answered in time, whatever the codec does."""

from __future__ import annotations

import asyncio
import threading
from typing import cast

import numpy as np
import pytest

from service.errors import DeadlineExceeded
from service.imaging.decode_pool import INLINE_BYTES, DecodePool, EncodedImage
from service.imaging.decoder import Decoder

LARGE = EncodedImage(bytes(INLINE_BYTES + 1))
SOON = 0.01


class Gated:
    """Stands in for a codec that is inside a picture until the test lets it out."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.opened = 0

    def empty(self, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return np.empty((count, 1, 1, 1), np.uint8)

    def open(self, data: bytes) -> bytes:
        self.opened += 1
        self.entered.release()
        self.gate.wait()
        return data

    def decode(self, picture: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return np.zeros((1, 1, 1), np.uint8)


async def wait_too_long(timeout: float, time_left: float) -> None:
    codec = Gated()
    pool = DecodePool(1, timeout=timeout)
    decoder = cast(Decoder, codec)
    deadline = asyncio.get_running_loop().time() + time_left
    try:
        first = asyncio.ensure_future(pool.decode(decoder, [LARGE], deadline=deadline))
        await asyncio.to_thread(codec.entered.acquire)
        with pytest.raises(DeadlineExceeded, match="before the images were decoded"):
            await pool.decode(decoder, [LARGE, LARGE], deadline=deadline)
        with pytest.raises(DeadlineExceeded):
            await first
        assert codec.opened == 1
    finally:
        codec.gate.set()
        pool.close()
    assert codec.opened == 1, "what nobody waits for any more was begun"


@pytest.mark.parametrize(("timeout", "time_left"), [(SOON, 3600.0), (3600.0, SOON)])
def test_who_waits_too_long_is_told_and_what_was_not_begun_never_is(timeout: float, time_left: float) -> None:
    asyncio.run(wait_too_long(timeout, time_left))


def test_who_waits_long_enough_gets_the_rows() -> None:
    codec = Gated()
    codec.gate.set()
    pool = DecodePool(2, timeout=3600)

    async def decode() -> int:
        deadline = asyncio.get_running_loop().time() + 3600
        return len(await pool.decode(cast(Decoder, codec), [LARGE] * 3, deadline=deadline))

    assert asyncio.run(decode()) == 3
    pool.close()
