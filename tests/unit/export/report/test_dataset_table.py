from __future__ import annotations

import numpy as np

from export.datasets.dataset import Dataset, InMemoryExamples
from export.report import dataset_table


def examples(*counts: int) -> InMemoryExamples:
    labels = np.repeat(np.arange(len(counts)), counts)
    return InMemoryExamples(np.zeros((len(labels), 1, 1, 1), np.uint8), labels)


def dataset(labels: tuple[str, ...], test: InMemoryExamples) -> Dataset:
    return Dataset("toys", labels, test, test, "0" * 64, test_source="valid/")


def test_each_class_has_a_row_with_its_images() -> None:
    toys = dataset(("car", "a very large doll"), examples(0, 7))
    assert list(dataset_table.render(toys, examples(1200, 30), examples(100, 2))) == [
        "toys: 1,230 training images, 102 validation images, 7 test images, 2 classes",
        "  class              training  validation (held out)  test (valid/)",
        "  car                   1,200                    100              0",
        "  a very large doll        30                      2              7",
    ]


def test_smallest_of_many_classes_are_shown() -> None:
    counts = [100, *range(1, 70)]
    many = dataset(tuple(f"class {number}" for number in range(70)), examples(*counts))
    lines = list(dataset_table.render(many, examples(*counts), examples(*counts)))
    assert len(lines) == 63
    assert lines[2].split()[:3] == ["class", "1", "1"]
    assert lines[-1] == "and 10 more classes of 61 to 100 training images"
