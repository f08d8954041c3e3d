"""Faults of cameras and detectors, each against its definition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from export.training.augment import Affine, Augmentation
from export.training.faults import Faults

SIDE = 40
ALWAYS: dict[str, Any] = {"probability": 1.0}

Pixels = NDArray[np.uint8]


def strike(faults: Faults, images: Pixels, seed: int = 0) -> Pixels:
    damaged: Pixels = faults.strike(tf.constant(images), tf.constant([seed, 1])).numpy()
    return damaged


def grey(value: int, copies: int = 100, channels: int = 3) -> Pixels:
    return np.full((copies, SIDE, SIDE, channels), value, np.uint8)


def square(copies: int = 100) -> Pixels:
    images = grey(20, copies)
    images[:, 15:25, 15:25] = 220
    return images


def checked(channels: int = 3, copies: int = 60) -> Pixels:
    across, down = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    pattern = (40 + 160 * ((across // 4 + down // 4) % 2)).astype(np.uint8)
    return np.broadcast_to(pattern[np.newaxis, ..., np.newaxis], (copies, SIDE, SIDE, channels)).copy()


ALL = Faults(
    shift=0.15, scale=0.25, occlusion=0.2, blur=0.03, quality=15, size=0.5, noise=25, probability=0.5
)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_keep_their_form_and_the_seed_decides(channels: int) -> None:
    images = checked(channels)
    damaged = strike(ALL, images)
    assert damaged.shape == images.shape
    assert damaged.dtype == np.uint8
    np.testing.assert_array_equal(damaged, strike(ALL, images))
    assert not np.array_equal(damaged, strike(ALL, images, seed=5))
    assert len({image.tobytes() for image in damaged}) > 50


def test_no_fault_changes_nothing() -> None:
    images = checked()
    np.testing.assert_array_equal(strike(Faults(probability=1), images), images)
    np.testing.assert_array_equal(strike(replace(ALL, probability=0), images), images)


def test_probability_is_the_share_of_struck_images() -> None:
    images = grey(128, copies=400)
    struck = (strike(Faults(noise=80, probability=0.3), images) != images).any(axis=(1, 2, 3))
    assert struck.mean() == pytest.approx(0.3, abs=0.08)


def test_shift_is_a_fraction_of_the_side_and_repeats_the_border() -> None:
    damaged = strike(Faults(shift=0.2, **ALWAYS), square())
    bright = damaged[..., 0].astype(float) - 20
    assert damaged.min() == 20
    places = np.indices((SIDE, SIDE))
    mass = bright.sum(axis=(1, 2))
    for axis in range(2):
        centres = (bright * places[axis]).sum(axis=(1, 2)) / mass - (SIDE - 1) / 2
        assert 0.17 * SIDE < np.abs(centres).max() <= 0.2 * SIDE + 0.05
        assert abs(centres.mean()) < 1


def test_scale_changes_the_size_of_the_content() -> None:
    damaged = strike(Faults(scale=0.25, **ALWAYS), square())
    areas = (damaged[..., 0].astype(float) - 20).sum(axis=(1, 2)) / 200 / 100
    assert 0.54 < areas.min() < 0.65
    assert 1.4 < areas.max() < 1.6


def test_occlusion_covers_up_to_its_share_with_one_colour() -> None:
    images = grey(7, copies=300)
    damaged = strike(Faults(occlusion=0.2, **ALWAYS), images)
    covered = (damaged != 7).any(axis=3)
    assert 0.17 < covered.mean(axis=(1, 2)).max() < 0.22
    assert covered.any(axis=0).mean() > 0.95  # every place is covered in some image
    for image, mask in zip(damaged, covered, strict=True):
        assert len({tuple(pixel) for pixel in image[mask]}) <= 1


def test_blur_lowers_the_contrast_and_keeps_the_level() -> None:
    images = checked()
    damaged = strike(Faults(blur=0.05, **ALWAYS), images).astype(float)
    contrast = damaged.std(axis=(1, 2, 3)) / images[0].std()
    assert contrast.min() < 0.4
    assert contrast.max() > 0.9
    np.testing.assert_allclose(damaged.mean(axis=(1, 2, 3)), images[0].mean(), atol=4)
    np.testing.assert_array_equal(strike(Faults(blur=0.05, **ALWAYS), grey(90)), grey(90))


def test_noise_has_at_most_its_deviation() -> None:
    damaged = strike(Faults(noise=20, **ALWAYS), grey(128)).astype(float)
    deviations = damaged.std(axis=(1, 2, 3))
    assert 18 < deviations.max() < 21
    assert deviations.min() < 4


def test_compression_has_at_least_its_quality() -> None:
    images = checked()
    kept, damaged = (
        np.abs(strike(Faults(quality=quality, **ALWAYS), images).astype(int) - images).mean()
        for quality in (95, 5)
    )
    assert 0 < kept < 4
    assert damaged > 3 * kept


def test_compression_in_a_smaller_size_has_larger_blocks() -> None:
    images = checked()
    own, smaller = (
        np.abs(strike(Faults(quality=90, size=size, **ALWAYS), images).astype(int) - images).mean(
            axis=(1, 2, 3)
        )
        for size in (1.0, 0.3)
    )
    assert smaller.max() > 5 * own.max()
    assert smaller.min() < 3 * own.max()  # close to the own size
    np.testing.assert_array_equal(strike(Faults(quality=90, size=0.3, **ALWAYS), grey(128)), grey(128))


def test_augmentation_without_faults_keeps_its_fingerprint() -> None:
    warp = Affine(rotation=10, scale=0.12, shear=5, translation=3, border="nearest")
    assert repr(Augmentation(warp=warp)) == (
        "Augmentation(crop=None, mirror=False, warp=Affine(rotation=10, scale=0.12, shear=5, translation=3, "
        "border='nearest'), colour=0.0)"
    )
    assert "faults=Faults(shift=0.15" in repr(Augmentation(faults=ALL))


def test_augmentation_applies_faults() -> None:
    images = checked()
    components = tf.zeros((3, 3))
    seed = tf.constant([3, 4], tf.int64)
    plain = Augmentation().apply(tf.constant(images), seed, components).numpy()
    damaged = Augmentation(faults=ALL).apply(tf.constant(images), seed, components).numpy()
    np.testing.assert_array_equal(plain, images)
    assert (damaged != images).any(axis=(1, 2, 3)).mean() > 0.9
