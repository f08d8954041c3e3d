from __future__ import annotations

import numpy as np
import pytest

from export.evaluation.image_faults import FAULTS, UNCHANGED, Pixels, apply_fault


def images(channels: int = 3, count: int = 12, side: int = 40) -> Pixels:
    """Smooth images with a bright square in the middle."""
    across, down = np.meshgrid(np.arange(side), np.arange(side))
    grey = (2 * across + 2 * down).astype(np.uint8)
    grey[side // 4 : -side // 4, side // 4 : -side // 4] = 230
    return np.broadcast_to(grey[np.newaxis, ..., np.newaxis], (count, side, side, channels)).copy()


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("channels", [1, 3])
def test_fault_changes_images_but_not_their_form_and_is_repeatable(name: str, channels: int) -> None:
    given = images(channels)
    kept = given.copy()
    changed = apply_fault(name, given, seed=1)
    assert changed.shape == given.shape
    assert changed.dtype == np.uint8
    np.testing.assert_array_equal(given, kept)
    np.testing.assert_array_equal(changed, apply_fault(name, given, seed=1))
    assert np.array_equal(changed, given) == (name == UNCHANGED)


def test_shift_moves_by_a_share_of_both_sides_in_all_directions() -> None:
    given = images(1)
    changed = apply_fault("shifted by 10 % of both sides", given, seed=0)
    moves = {(4, 4): 0, (4, -4): 0, (-4, 4): 0, (-4, -4): 0}
    for image, moved in zip(given, changed, strict=True):
        inner = np.s_[8:-8, 8:-8]
        found = [by for by in moves if np.array_equal(np.roll(image, by, (0, 1))[inner], moved[inner])]
        assert len(found) == 1
        moves[found[0]] += 1
    assert sum(count > 0 for count in moves.values()) >= 3


@pytest.mark.parametrize("share", [5, 10, 20])
def test_covered_area_has_its_share_and_its_own_place_in_each_image(share: int) -> None:
    given = np.zeros((20, 100, 100, 3), np.uint8)
    changed = apply_fault(f"{share} % of the area covered", given, seed=0)
    covered = (changed == 128).all(axis=3)
    np.testing.assert_allclose(covered.mean(axis=(1, 2)), share / 100, atol=0.01)
    assert len({image.tobytes() for image in changed}) > 15


def test_content_is_scaled_about_the_centre() -> None:
    given = images(1)
    areas = {
        factor: (apply_fault(f"content at {factor} % of its size", given, seed=0) > 210).mean()
        for factor in (75, 125)
    }
    square = (given > 210).mean()
    assert areas[75] == pytest.approx(square * 0.75**2, rel=0.15)
    assert areas[125] == pytest.approx(square * 1.25**2, rel=0.15)


def test_noise_has_its_deviation() -> None:
    given = np.full((8, 60, 60, 1), 128, np.uint8)
    noisy = apply_fault("noise, deviation 10 of 255", given, seed=0).astype(float)
    assert np.std(noisy) == pytest.approx(10, rel=0.05)
    assert np.mean(noisy) == pytest.approx(128, abs=0.5)
