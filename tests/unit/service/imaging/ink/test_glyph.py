"""The resize rule `ink`: one glyph, wherever it is, on whatever paper, is drawn in the middle."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from export.evaluation.digit_conditions import CONDITIONS, draw_condition
from service.errors import InvalidImage
from service.imaging.decoder import Decoder
from service.imaging.ink.glyph import draw_glyph
from service.repository.manifest import InputSpec
from tests.support.images.drawn_mnist import draw_digits
from tests.support.images.image_cases import Array, encode

DIGITS, _ = draw_digits(2, seed=5)


def spec(**changes: object) -> InputSpec:
    usual = {"name": "image", "dtype": "uint8", "layout": "NHWC", "height": 28, "width": 28, "channels": 1}
    preprocessing = {"polarity": "light-on-dark", "scale": None, "mean": None, "std": None}
    return InputSpec.model_validate(usual | preprocessing | {"resize": "ink"} | changes)


def decode(data: bytes, **changes: object) -> Array:
    decoder = Decoder(spec(**changes), max_pixels=20_000_000)
    return decoder.decode(decoder.open(data))


def middle(glyph: Array) -> tuple[float, float]:
    """The centre of mass."""
    mass = glyph.sum(dtype=float)
    return float(glyph.sum(1) @ np.arange(28) / mass), float(glyph.sum(0) @ np.arange(28) / mass)


def overlap(one: Array, other: Array) -> float:
    """The correlation of two images; one of them may be shifted by half a pixel."""
    first, second = (
        np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(1))).ravel()
        for image in (one, other)
    )
    return float(np.corrcoef(first, second)[0, 1])


@pytest.mark.parametrize("name", CONDITIONS)
def test_glyph_is_found_and_drawn_in_the_middle(name: str) -> None:
    for digit, picture in zip(DIGITS, draw_condition(name, DIGITS[..., None]), strict=True):
        glyph = draw_glyph(Image.fromarray(picture), (28, 28))
        assert glyph is not None
        rows, columns = np.flatnonzero(glyph.max(axis=1) > 60), np.flatnonzero(glyph.max(axis=0) > 60)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (18, 19, 20)
        assert middle(glyph) == pytest.approx((14, 14), abs=0.6)
        plain = draw_glyph(Image.fromarray(255 - digit).resize((280, 280)), (28, 28))
        assert plain is not None
        assert overlap(glyph, plain) > (0.7 if "pen" in name else 0.8)


def test_image_of_the_model_size_keeps_every_bit() -> None:
    for digit in DIGITS:
        assert np.array_equal(decode(encode(digit, "PNG"))[..., 0], digit)
        assert np.array_equal(decode(encode(255 - digit, "PNG"))[..., 0], digit)


@pytest.mark.parametrize("size", [(200, 150), (60, 300), (3000, 2000), (1, 1), (2, 65_000), (29, 28)])
@pytest.mark.parametrize("grey", [0, 90, 255])
def test_image_without_ink_is_resized_as_before(size: tuple[int, int], grey: int) -> None:
    data = encode(Image.new("L", size, grey), "PNG")
    assert np.array_equal(decode(data), decode(data, resize="fit"))


@pytest.mark.parametrize(("paper", "noise"), [(250, 2), (200, 4), (120, 6), (60, 6), (60, 12)])
def test_noise_of_a_camera_is_no_ink(paper: int, noise: int) -> None:
    draw = np.random.default_rng(paper)
    for _ in range(20):
        sheet = np.clip(paper + draw.normal(0, noise, (150, 200)), 0, 255).astype(np.uint8)
        assert draw_glyph(Image.fromarray(sheet), (28, 28)) is None


def test_specks_and_the_edge_of_the_sheet_are_no_ink() -> None:
    sheet = np.full((300, 400), 240, np.uint8)
    sheet[120:220, 180:190] = 30
    alone = draw_glyph(Image.fromarray(sheet), (28, 28))
    sheet[20:24, 30:34] = sheet[270:273, 350:353] = 30
    sheet[:, :8] = 60
    assert alone is not None
    found = draw_glyph(Image.fromarray(sheet), (28, 28))
    assert found is not None
    assert overlap(found, alone) > 0.99


def test_glyph_that_touches_the_border_is_kept() -> None:
    sheet = np.full((100, 100), 255, np.uint8)
    sheet[:60, 45:55] = 0
    sheet[60:70, 20:80] = 0
    glyph = draw_glyph(Image.fromarray(sheet), (28, 28))
    assert glyph is not None
    assert np.ptp(np.flatnonzero(glyph.max(axis=1) > 60)) + 1 >= 19


def test_rule_draws_in_the_polarity_and_with_the_channels_of_the_model() -> None:
    (picture,) = draw_condition("lined paper", DIGITS[:1, ..., None])
    data = encode(picture, "PNG")
    light = decode(data)
    assert np.array_equal(decode(data, polarity="dark-on-light"), 255 - light)
    assert np.array_equal(decode(data, channels=3), light.repeat(3, axis=-1))
    inverted = decode(encode(255 - picture, "PNG"))
    assert overlap(inverted[..., 0], light[..., 0]) > 0.95


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 65_535), (65_535, 3), (29, 28), (5, 5)])
def test_any_size_is_decoded(size: tuple[int, int]) -> None:
    draw = np.random.default_rng(1)
    for _ in range(5):
        noise = draw.integers(0, 256, size, np.uint8)
        assert decode(encode(noise, "PNG")).shape == (28, 28, 1)


def test_damaged_image_is_rejected() -> None:
    data = encode(draw_condition("lined paper", DIGITS[:1, ..., None])[0], "PNG")
    with pytest.raises(InvalidImage):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize("change", [{"polarity": None}, {"height": None, "width": None}])
def test_rule_needs_a_size_and_a_polarity(change: dict[str, None]) -> None:
    with pytest.raises(
        ValueError, match="the resize rule ink needs a fixed height and width, and a polarity"
    ):
        spec(**change)
