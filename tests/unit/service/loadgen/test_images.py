from __future__ import annotations

import io

import pytest
from PIL import Image

from service.loadgen.workload.images import synthetic_image


@pytest.mark.parametrize("side", [1, 2, 28, 227])
def test_synthetic_image_is_a_grayscale_png_of_the_given_size(side: int) -> None:
    with Image.open(io.BytesIO(synthetic_image(side))) as image:
        image.load()
        assert (image.format, image.size, image.mode) == ("PNG", (side, side), "L")


def test_synthetic_image_has_many_shades() -> None:
    with Image.open(io.BytesIO(synthetic_image(100))) as image:
        assert len(image.getcolors() or ()) > 100
        assert image.getpixel((0, 0)) == 0
        assert image.getpixel((50, 50)) == 255
