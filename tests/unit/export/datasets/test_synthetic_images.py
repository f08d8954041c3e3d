from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from export.datasets import synthetic_images


@pytest.mark.parametrize("value", range(10))
def test_digit_resembles_mnist(value: int) -> None:
    """Light on dark, smooth, away from the border, with a centred centre of mass."""
    image = synthetic_images.digit(value)
    assert image.shape == (28, 28, 1)
    assert image.dtype == np.uint8
    assert image.max() > 200
    grey = (image > 0) & (image < 200)
    assert grey.sum() > 30
    inner = image[1:-1, 1:-1]
    assert inner.sum() > 0.99 * image.sum()
    assert 30 < (image > 100).sum() < 160
    mass = image[..., 0].astype(np.float64)
    centre = (np.indices(mass.shape) * mass).sum(axis=(1, 2)) / mass.sum()
    np.testing.assert_allclose(centre, 13.5, atol=0.2)


def test_seed_determines_the_handwriting() -> None:
    images = synthetic_images.golden_digits(5)
    assert images.shape == (23, 28, 28, 1)
    np.testing.assert_array_equal(images, synthetic_images.golden_digits(5))
    other = synthetic_images.golden_digits(6)
    np.testing.assert_array_equal(images[:10], other[:10])
    for one, two in zip(images[10:20], other[10:20], strict=True):
        assert np.any(one != two)


def test_golden_digits_end_with_black_white_and_noise() -> None:
    black, white, noise = synthetic_images.golden_digits(0)[-3:]
    assert not black.any()
    assert np.all(white == 255)
    assert noise.std() > 60


def test_png_is_lossless() -> None:
    grey = synthetic_images.digit(3)
    with Image.open(io.BytesIO(synthetic_images.png(grey))) as image:
        assert (image.mode, image.format) == ("L", "PNG")
        np.testing.assert_array_equal(np.asarray(image), grey[..., 0])
    colour = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(synthetic_images.png(colour))) as image:
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), colour)
