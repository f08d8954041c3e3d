"""Renders the table of a data set that is printed before a training: its classes and their images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..datasets.dataset import Dataset, Examples

_MAX_ROWS = 60
_MAX_LABEL = 40


def render(dataset: Dataset, training: Examples, validation: Examples) -> Iterator[str]:
    """Yield a sentence, then a line per class with its training, validation and test images.

    Of a data set with many classes, those with the fewest training images are shown.

    Args:
        dataset: the data set.
        training, validation: its training images, of which the validation images may be held out.
    """
    yield (
        f"{dataset.name}: {len(training):,} training images, {len(validation):,} validation images, "
        f"{len(dataset.test):,} test images, {len(dataset.labels):,} classes"
    )
    classes = len(dataset.labels)
    counts = np.stack(
        [np.bincount(part.labels, minlength=classes) for part in (training, validation, dataset.test)], axis=1
    )
    shown = np.arange(classes)
    if classes > _MAX_ROWS:
        shown = np.sort(np.argsort(counts[:, 0], kind="stable")[:_MAX_ROWS])
    heads = (
        "class",
        "training",
        f"validation ({dataset.validation_source})",
        "test" if dataset.test_source is None else f"test ({dataset.test_source})",
    )
    rows = [(_shorten(dataset.labels[row]), *(f"{count:,}" for count in counts[row])) for row in shown]
    yield from _align([heads, *rows])
    if rest := classes - len(shown):
        others = np.delete(counts[:, 0], shown)
        yield f"and {rest:,} more classes of {others.min():,} to {others.max():,} training images"


def _align(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        yield "  " + "  ".join(cells)


def _shorten(label: str) -> str:
    return label if len(label) <= _MAX_LABEL else f"{label[: _MAX_LABEL - 1]}…"
