"""Requests whose images are decoded in threads: their deadlines, turns and limits."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from typing import cast

import numpy as np
import pytest
from PIL import Image

from service.errors import DeadlineExceeded, InvalidImage, PayloadTooLarge
from service.imaging.decode_pool import INLINE_BYTES, DecodePool, EncodedImage
from service.imaging.decoded_batch import INSPECTION_SECONDS
from service.imaging.decoder import Decoder
from service.imaging.headers.image_header import ImageHeader
from service.repository.manifest import InputSpec
from tests.support.images.image_cases import encode
from tests.support.manual_clock import ManualClockLoop

LARGE = EncodedImage(bytes(INLINE_BYTES + 1))
LIMIT, FAR = 10.0, 3600.0


SPEC = json.dumps(
    {
        "name": "image",
        "dtype": "uint8",
        "layout": "NHWC",
        "height": 1,
        "width": 1,
        "channels": 1,
        "resize": "stretch",
        "polarity": None,
        "scale": None,
        "mean": None,
        "std": None,
    }
)


class GatedDecoder:
    """Replaces a decoder; decoding blocks until the test opens the gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = asyncio.Event()
        self.opened = 0
        self.order: list[int] = []
        self._loop = asyncio.get_running_loop()

    def empty(self, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return np.empty((count, 1, 1, 1), np.uint8)

    def inspect(self, data: bytes) -> ImageHeader:
        return ImageHeader("PNG", 1000, 1000, 4)

    def decode_bytes(self, header: ImageHeader) -> int:
        return header.pixels * header.pixel_bytes

    def read(self, data: bytes, header: ImageHeader) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        self.opened += 1
        self.order.append(data[0])
        self._loop.call_soon_threadsafe(self.entered.set)
        self.gate.wait()
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


def test_header_of_a_small_file_with_many_pixels_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    inspected: list[int] = []
    decoder = Decoder(InputSpec.model_validate_json(SPEC), max_pixels=10**9)
    inspect = decoder.inspect

    def counted(self: Decoder, data: bytes) -> ImageHeader:
        inspected.append(len(data))
        return inspect(data)

    monkeypatch.setattr(Decoder, "inspect", counted)
    image = EncodedImage(encode(Image.new("L", (1000, 1000)), "PNG"))

    async def decode() -> int:
        pool = DecodePool(1)
        try:
            header = pool.decode_small(decoder, image, deadline=far_deadline())
            assert isinstance(header, ImageHeader)
            return len(await pool.decode(decoder, [image], deadline=far_deadline(), header=header))
        finally:
            pool.close()

    assert asyncio.run(decode()) == 1
    assert inspected == [len(image.data)]


def numbered(client: int) -> EncodedImage:
    """A large image whose first byte names its client."""
    return EncodedImage(bytes([client]) + bytes(INLINE_BYTES))


def far_deadline() -> float:
    return asyncio.get_running_loop().time() + FAR


def test_clients_take_turns_image_by_image() -> None:
    async def decode() -> list[int]:
        gated = GatedDecoder()
        decoder, pool = cast(Decoder, gated), DecodePool(1)
        first = asyncio.create_task(pool.decode(decoder, [numbered(0)], deadline=far_deadline()))
        await gated.entered.wait()
        form = [numbered(1)] * 4
        many = asyncio.create_task(pool.decode(decoder, form, deadline=far_deadline(), key="many"))
        await asyncio.sleep(0)
        few = asyncio.create_task(pool.decode(decoder, [numbered(2)], deadline=far_deadline(), key="few"))
        await asyncio.sleep(0)
        gated.gate.set()
        await asyncio.gather(first, many, few)
        pool.close()
        return gated.order

    order = asyncio.run(decode())
    assert sorted(order) == [0, 1, 1, 1, 1, 2]
    assert order.index(2) <= 2


def test_no_image_is_begun_after_its_request_was_cancelled() -> None:
    async def decode() -> int:
        gated = GatedDecoder()
        pool = DecodePool(1)
        images = [numbered(0)] * 5
        request = asyncio.create_task(
            pool.decode(cast(Decoder, gated), images, deadline=far_deadline(), key="client")
        )
        await gated.entered.wait()
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        gated.gate.set()
        pool.close()
        return gated.opened

    assert asyncio.run(decode()) == 1


def test_request_of_too_many_pixels_is_rejected_before_an_image_is_decoded() -> None:
    async def decode() -> int:
        gated = GatedDecoder()
        gated.gate.set()
        pool = DecodePool(1, max_request_pixels=2_999_999)
        with pytest.raises(
            PayloadTooLarge, match="have 3,000,000 pixels; at most 2,999,999 are decoded \\(CONV"
        ):
            await pool.decode(cast(Decoder, gated), [LARGE] * 3, deadline=far_deadline())
        pool.close()
        return gated.opened

    assert asyncio.run(decode()) == 0


def test_rows_keep_the_order_of_the_images() -> None:
    side = 300
    spec = InputSpec.model_validate_json(SPEC)
    sides = [side if index % 3 else 8 for index in range(40)]
    images = [
        EncodedImage(encode(np.full((sides[index], sides[index]), index, np.uint8), "PNG"))
        for index in range(40)
    ]

    async def decode() -> list[int]:
        pool = DecodePool(3)
        try:
            rows = await pool.decode(Decoder(spec, max_pixels=10**6), images, deadline=far_deadline())
        finally:
            pool.close()
        return [int(value) for value in rows.ravel()]

    assert asyncio.run(decode()) == list(range(40))


def test_each_image_that_cannot_be_decoded_is_named() -> None:
    async def decode() -> str:
        pool = DecodePool(2)
        spec = InputSpec.model_validate_json(SPEC)
        valid = encode(np.zeros((400, 400), np.uint8), "PNG")
        broken, damaged = valid[:-30], b"no image"
        large = encode(np.zeros((1000, 1000), np.uint8), "PNG")
        images = [EncodedImage(data) for data in (valid, broken, damaged, large)]
        try:
            await pool.decode(Decoder(spec, max_pixels=500_000), images, deadline=far_deadline())
        except InvalidImage as error:
            return str(error)
        finally:
            pool.close()
        return ""

    assert re.fullmatch(
        r"3 of 4 images cannot be read: image 1: the PNG is truncated.*; image 2: not an image.*; "
        r"image 3: the image has 1000x1000 pixels.*",
        asyncio.run(decode()),
    )


def test_headers_are_read_in_turns() -> None:
    async def decode() -> list[int]:
        gated = GatedDecoder()
        gated.gate.set()
        seen: list[int] = []

        def inspect(data: bytes) -> ImageHeader:
            seen.append(data[0])
            started = time.monotonic()
            while time.monotonic() - started < 2 * INSPECTION_SECONDS:
                pass
            return ImageHeader("PNG", 1000, 1000, 4)

        gated.inspect = inspect  # type: ignore[method-assign]
        pool = DecodePool(1)
        many = pool.decode(cast(Decoder, gated), [numbered(1)] * 6, deadline=far_deadline(), key="many")
        few = pool.decode(cast(Decoder, gated), [numbered(2)], deadline=far_deadline(), key="few")
        await asyncio.gather(many, few)
        pool.close()
        return seen

    seen = asyncio.run(decode())
    assert seen.count(1) == 6
    assert seen.index(2) <= 2
