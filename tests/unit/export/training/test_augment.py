"""Augmentation against its definition: x to the right, y down, about the centre of the image."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from export.training.augment import Affine, Augmentation, principal_colours

SIDE = 29
MIDDLE = SIDE // 2


def warp(affine: Affine, image: NDArray[np.uint8], copies: int = 200, seed: int = 0) -> NDArray[np.uint8]:
    batch = np.repeat(image[np.newaxis, ..., np.newaxis], copies, axis=0)
    warped: NDArray[np.uint8] = affine.warp(tf.constant(batch), tf.constant([seed, 0])).numpy()
    return warped[..., 0]


def square(side: int) -> NDArray[np.uint8]:
    image = np.zeros((SIDE, SIDE), dtype=np.uint8)
    start = (SIDE - side) // 2
    image[start : start + side, start : start + side] = 255
    return image


def centre(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the centre of mass, (y, x), relative to the centre of the image."""
    mass = image.astype(np.float64)
    found: NDArray[np.float64] = (np.indices(mass.shape) * mass).sum(axis=(1, 2)) / mass.sum() - MIDDLE
    return found


def test_zero_ranges_change_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    assert np.all(warp(Affine(), image, copies=3) == image)


def test_translation_is_in_pixels_and_symmetric() -> None:
    shifts = np.array([centre(image) for image in warp(Affine(translation=3), square(7))])
    assert np.abs(shifts).max() <= 3.02
    assert np.all(shifts.max(axis=0) > 2.5)
    assert np.all(shifts.min(axis=0) < -2.5)
    assert np.abs(shifts.mean(axis=0)).max() < 0.5


def test_scale_changes_the_size_and_keeps_the_centre() -> None:
    warped = warp(Affine(scale=0.2), square(15))
    sizes = warped.astype(np.float64).sum(axis=(1, 2)) / 255 / 15**2
    assert 0.62 < sizes.min() < 0.75
    assert 1.3 < sizes.max() < 1.46
    assert max(np.abs(centre(image)).max() for image in warped) < 0.05


def test_rotation_is_in_degrees_and_keeps_the_size() -> None:
    bar = np.zeros((SIDE, SIDE), dtype=np.uint8)
    bar[MIDDLE - 1 : MIDDLE + 2, 4:-4] = 255
    angles = [slope(image) for image in warp(Affine(rotation=20), bar)]
    assert 17 < max(angles) < 20.5
    assert -20.5 < min(angles) < -17


def test_shear_slants_vertical_bars_only() -> None:
    affine = Affine(shear=15)
    lying = np.zeros((SIDE, SIDE), dtype=np.uint8)
    lying[MIDDLE - 1 : MIDDLE + 2, 4:-4] = 255
    assert max(abs(slope(image)) for image in warp(affine, lying)) < 0.5
    slants = [slope(image.T) for image in warp(affine, lying.T.copy())]
    assert 13 < max(slants) < 15.5
    assert -15.5 < min(slants) < -13


def slope(image: NDArray[np.uint8]) -> float:
    """Return the angle of a bar in degrees, by a linear fit through the centres of its columns."""
    mass = image.astype(np.float64)
    columns = np.flatnonzero(mass.sum(axis=0) > 400)
    heights = (np.arange(SIDE)[:, np.newaxis] * mass).sum(axis=0)[columns] / mass.sum(axis=0)[columns]
    inner = slice(3, -3)  # without the slanted ends
    return float(np.degrees(np.arctan(np.polyfit(columns[inner], heights[inner], 1)[0])))


@pytest.mark.parametrize("seed", [0, 7])
def test_same_seed_gives_the_same_warps_and_images_differ(seed: int) -> None:
    affine = Affine(rotation=10, scale=0.1, shear=8, translation=2)
    first, second = (warp(affine, square(9), copies=8, seed=seed) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first, axis=0)) == 8
    assert np.any(first != warp(affine, square(9), copies=8, seed=seed + 1))


SEED = tf.constant([3, 4])
IMAGES = np.random.default_rng(0).integers(0, 256, (50, 12, 12, 3), dtype=np.uint8)
NO_COLOURS = np.zeros((3, 3), np.float32)


def changed(augmentation: Augmentation, components: NDArray[np.float32] = NO_COLOURS) -> NDArray[np.uint8]:
    result: NDArray[np.uint8] = augmentation.apply(tf.constant(IMAGES), SEED, tf.constant(components)).numpy()
    return result


def test_empty_augmentation_changes_nothing() -> None:
    np.testing.assert_array_equal(changed(Augmentation()), IMAGES)


def test_crops_come_from_all_positions() -> None:
    cropped = changed(Augmentation(crop=(9, 7)))
    assert cropped.shape == (50, 9, 7, 3)
    corners = set()
    for image, part in zip(IMAGES, cropped, strict=True):
        corners |= {
            (top, left)
            for top in range(4)
            for left in range(6)
            if np.array_equal(image[top : top + 9, left : left + 7], part)
        }
    assert len(corners) > 12
    assert {top for top, _ in corners} == set(range(4))
    assert {left for _, left in corners} == set(range(6))


def test_about_half_of_the_images_are_mirrored() -> None:
    mirrored = changed(Augmentation(mirror=True))
    turned = [np.array_equal(one, other[:, ::-1]) for one, other in zip(mirrored, IMAGES, strict=True)]
    same = [np.array_equal(one, other) for one, other in zip(mirrored, IMAGES, strict=True)]
    assert sum(turned) + sum(same) == 50
    assert 10 < sum(turned) < 40


def test_principal_colours_are_scaled_by_their_deviation() -> None:
    direction = np.array([2, 1, -2]) / 3
    along = np.random.default_rng(0).normal(scale=20, size=(1000, 10, 10, 1))
    images = np.clip(128 + along * direction, 0, 255).round().astype(np.uint8)
    components = principal_colours(images)
    lengths = np.linalg.norm(components, axis=1)
    assert lengths[2] == pytest.approx(20, rel=0.02)
    assert lengths[:2].max() < 1
    assert abs(components[2] @ direction) == pytest.approx(20, rel=0.02)


def test_colours_shift_once_per_image() -> None:
    components = np.array([[0, 0, 0], [0, 0, 0], [100, 0, 0]], np.float32)
    grey = np.full_like(IMAGES, 128)
    result = Augmentation(colour=0.1).apply(tf.constant(grey), SEED, tf.constant(components)).numpy()
    shifts = result.astype(int) - 128
    assert np.all(shifts[..., 1:] == 0)
    assert np.all(shifts[..., 0] == shifts[:, :1, :1, 0])
    assert np.std(shifts[:, 0, 0, 0]) == pytest.approx(10, rel=0.3)


def test_border_is_filled_with_black_or_the_nearest_pixel() -> None:
    white = tf.fill([100, SIDE, SIDE, 1], tf.constant(255, tf.uint8))
    for border, least in (("constant", 0), ("nearest", 255)):
        warped = Affine(translation=6, border=border).warp(white, SEED)  # type: ignore[arg-type]
        assert int(tf.reduce_min(warped)) == least
