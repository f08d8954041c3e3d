from __future__ import annotations

import numpy as np
import pytest

from export.datasets.dataset import InMemoryExamples
from export.datasets.image_files import Size
from export.errors import DatasetError

LABELS = np.array([0, 1, 0, 2, 1, 0, 0, 1], dtype=np.int64)
EXAMPLES = InMemoryExamples(np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1), LABELS)


def numbers(split: InMemoryExamples) -> list[int]:
    """Return the indices of these examples in EXAMPLES, and check their labels."""
    found: list[int] = split.images.ravel().tolist()
    np.testing.assert_array_equal(split.labels, LABELS[found])
    return found


def test_limit_keeps_evenly_spaced_examples_of_each_class() -> None:
    assert numbers(EXAMPLES.limit(2)) == [0, 1, 3, 4, 5]
    assert numbers(EXAMPLES.limit(100)) == list(range(8))


def test_hold_out_splits_the_examples() -> None:
    rest, held = EXAMPLES.hold_out(0.25, seed=0)
    assert (len(rest), len(held)) == (6, 2)
    assert sorted(numbers(rest) + numbers(held)) == list(range(8))


def test_seed_determines_the_held_out_examples() -> None:
    choices = {tuple(numbers(EXAMPLES.hold_out(0.25, seed)[1])) for seed in range(20)}
    assert len(choices) > 1
    assert numbers(EXAMPLES.hold_out(0.25, 5)[1]) == numbers(EXAMPLES.hold_out(0.25, 5)[1])


def test_hold_out_takes_at_least_one_example() -> None:
    assert len(EXAMPLES.hold_out(0.01, seed=0)[1]) == 1


def test_hold_out_leaves_an_example_of_each_class() -> None:
    for seed in range(20):
        rest, held = EXAMPLES.hold_out(0.9, seed)
        assert set(rest.labels) == {0, 1, 2}
        assert len(held) == 5
    with pytest.raises(DatasetError, match="3 images are too few to hold some of them out"):
        EXAMPLES.take(np.array([0, 1, 3])).hold_out(0.5, seed=0)


def test_hold_out_keeps_groups_together() -> None:
    films = np.array([7, 7, 7, 3, 3, 5, 5, 5])
    rest, held = InMemoryExamples(EXAMPLES.images, LABELS, films).hold_out(0.3, seed=1)
    assert rest.groups is not None
    assert held.groups is not None
    assert len(set(held.groups)) == 1
    assert not set(rest.groups) & set(held.groups)
    np.testing.assert_array_equal(films[numbers(rest)], rest.groups)


def test_images_in_memory_cannot_be_resized() -> None:
    assert EXAMPLES.sized(Size(1, 1, 1, "fit")) is EXAMPLES
    with pytest.raises(DatasetError, match="the images are 1x1x1, expected 2x2x1"):
        EXAMPLES.sized(Size(2, 2, 1, "fit"))
