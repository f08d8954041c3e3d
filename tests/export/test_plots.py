from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from export import plots
from export.train import Curves


def opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    return image


@pytest.mark.parametrize("epochs", [1, 2, 40])
def test_curves_are_drawn_for_any_number_of_epochs(epochs: int) -> None:
    falling = tuple(1 / (epoch + 1) for epoch in range(epochs))
    rising = tuple(1 - loss / 2 for loss in falling)
    curves = Curves(falling, rising, falling, rising)
    image = opened(plots.curves(curves, "a title"))
    assert image.width == 2.5 * image.height
    assert plots.curves(curves, "a title") == plots.curves(curves, "a title")


@pytest.mark.parametrize("classes", [2, 10, 43])
def test_a_confusion_matrix_grows_with_the_classes(classes: int) -> None:
    counts = np.diag(np.arange(1, classes + 1)) + np.eye(classes, k=1, dtype=np.int64)
    image = opened(plots.confusion(counts, [str(label) for label in range(classes)], "a title"))
    assert image.width > 100 * 0.55 * classes


def test_a_class_that_is_always_right_or_never_seen_is_no_error() -> None:
    opened(plots.confusion(np.diag([1, 0, 1]), ["a", "b", "c"], "all but empty"))
