from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from export.datasets import synthetic_images


@pytest.mark.parametrize("value", range(10))
def test_a_digit_looks_as_those_of_mnist_do(value: int) -> None:
    """Light on dark, smooth, clear of the border, its centre of mass in the middle."""
    picture = synthetic_images.digit(value)
    assert picture.shape == (28, 28, 1)
    assert picture.dtype == np.uint8
    assert picture.max() > 200
    grey = (picture > 0) & (picture < 200)
    assert grey.sum() > 30
    inner = picture[1:-1, 1:-1]
    assert inner.sum() > 0.99 * picture.sum()
    assert 30 < (picture > 100).sum() < 160
    mass = picture[..., 0].astype(np.float64)
    centre = (np.indices(mass.shape) * mass).sum(axis=(1, 2)) / mass.sum()
    np.testing.assert_allclose(centre, 13.5, atol=0.2)


def test_the_seed_decides_the_hands() -> None:
    pictures = synthetic_images.digits_and_none(5)
    assert pictures.shape == (23, 28, 28, 1)
    np.testing.assert_array_equal(pictures, synthetic_images.digits_and_none(5))
    other = synthetic_images.digits_and_none(6)
    np.testing.assert_array_equal(pictures[:10], other[:10])
    for one, two in zip(pictures[10:20], other[10:20], strict=True):
        assert np.any(one != two)


def test_black_white_and_noise_come_last() -> None:
    black, white, noise = synthetic_images.digits_and_none(0)[-3:]
    assert not black.any()
    assert np.all(white == 255)
    assert noise.std() > 60


def test_a_png_holds_every_pixel() -> None:
    grey = synthetic_images.digit(3)
    with Image.open(io.BytesIO(synthetic_images.png(grey))) as image:
        assert (image.mode, image.format) == ("L", "PNG")
        np.testing.assert_array_equal(np.asarray(image), grey[..., 0])
    colour = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(synthetic_images.png(colour))) as image:
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), colour)
