"""Damaged TIFFs: libtiff, which Pillow calls for compressed ones, has a channel for messages of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.http.client import post
from tests.support.images.image_cases import encode
from tests.support.server.server_process import ServerProcess

# Images are decoded in the event loop, in a thread, and in a process.
SIDES = {"loop": 64, "thread": 600, "process": 2000}


def damaged(side: int, compression: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (side, side), np.uint8)
    data = bytearray(encode(noise, "TIFF", compression=compression))
    half = len(data) // 2
    data[half : half + 400] = b"\xff" * 400
    return bytes(data)


@pytest.mark.parametrize("where", SIDES)
def test_nothing_but_the_log_is_written_to_standard_error(shades: Path, where: str) -> None:
    with ServerProcess(shades) as server:
        for compression in ("tiff_lzw", "tiff_adobe_deflate"):
            response = post(f"{server.url}/classify", damaged(SIDES[where], compression))
            assert response.status == 400
            assert b"TIFF is truncated or corrupt" in response.body
        server.stop()
        assert server.stderr.text == ""
