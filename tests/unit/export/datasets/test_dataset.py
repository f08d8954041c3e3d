from __future__ import annotations

import numpy as np
import pytest

from export.datasets.dataset import Split
from export.datasets.image_files import Size
from export.errors import DatasetError

LABELS = np.array([0, 1, 0, 2, 1, 0, 0, 1], dtype=np.int64)
SPLIT = Split(np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1), LABELS)


def numbers(split: Split) -> list[int]:
    """Which of SPLIT's examples these are; their labels must have come along."""
    found: list[int] = split.images.ravel().tolist()
    np.testing.assert_array_equal(split.labels, LABELS[found])
    return found


def test_a_limit_keeps_some_of_each_class_from_all_over_it_in_order() -> None:
    assert numbers(SPLIT.limit(2)) == [0, 1, 3, 4, 5]
    assert numbers(SPLIT.limit(100)) == list(range(8))


def test_what_is_held_out_is_not_trained_on() -> None:
    rest, held = SPLIT.hold_out(0.25, seed=0)
    assert (len(rest), len(held)) == (6, 2)
    assert sorted(numbers(rest) + numbers(held)) == list(range(8))


def test_the_seed_decides_what_is_held_out() -> None:
    choices = {tuple(numbers(SPLIT.hold_out(0.25, seed)[1])) for seed in range(20)}
    assert len(choices) > 1
    assert numbers(SPLIT.hold_out(0.25, 5)[1]) == numbers(SPLIT.hold_out(0.25, 5)[1])


def test_at_least_one_is_held_out() -> None:
    assert len(SPLIT.hold_out(0.01, seed=0)[1]) == 1


def test_groups_are_held_out_whole_and_come_along() -> None:
    films = np.array([7, 7, 7, 3, 3, 5, 5, 5])
    rest, held = Split(SPLIT.images, LABELS, films).hold_out(0.3, seed=1)
    assert rest.groups is not None
    assert held.groups is not None
    assert len(set(held.groups)) == 1
    assert not set(rest.groups) & set(held.groups)
    np.testing.assert_array_equal(films[numbers(rest)], rest.groups)


def test_pictures_in_memory_have_the_size_they_have() -> None:
    assert SPLIT.sized(Size(1, 1, 1, "fit")) is SPLIT
    with pytest.raises(DatasetError, match="the pictures are 1x1x1, not 2x2x1"):
        SPLIT.sized(Size(2, 2, 1, "fit"))
