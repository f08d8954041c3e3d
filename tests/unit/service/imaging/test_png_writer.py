from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from service.imaging.png_writer import write_png


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 1), (5, 7, 3), (300, 200, 3)])
def test_reader_returns_the_same_pixels(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with Image.open(io.BytesIO(write_png(pixels))) as image:
        assert image.mode == ("L" if shape[2] == 1 else "RGB")
        assert np.array_equal(np.asarray(image).reshape(shape), pixels)
