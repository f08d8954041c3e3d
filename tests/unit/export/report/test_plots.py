from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from export.report import plots
from export.training.checkpoint import Curves


def opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    return image


@pytest.mark.parametrize("epochs", [1, 2, 40])
def test_curves_plot_any_number_of_epochs(epochs: int) -> None:
    falling = tuple(1 / (epoch + 1) for epoch in range(epochs))
    rising = tuple(1 - loss / 2 for loss in falling)
    curves = Curves(falling, rising, falling, rising)
    drawn = plots.curves([curves, curves], "a title")
    image = opened(drawn)
    assert image.width == 2.5 * image.height
    assert plots.curves([curves, curves], "a title") == drawn


@pytest.mark.parametrize("classes", [2, 10, 43])
def test_confusion_matrix_grows_with_the_classes(classes: int) -> None:
    counts = np.diag(np.arange(1, classes + 1)) + np.eye(classes, k=1, dtype=np.int64)
    image = opened(plots.confusion(counts, [str(label) for label in range(classes)], "a title"))
    assert image.width > 100 * 0.28 * classes


def test_single_confusion_among_1000_classes_is_visible() -> None:
    counts = np.zeros((1000, 1000), np.int64)
    labels = [f"class {number}" for number in range(1000)]
    empty = plots.confusion(counts + 50 * np.eye(1000, dtype=np.int64), labels, "a title")
    counts[700, 20] = 1
    image = opened(plots.confusion(counts + 50 * np.eye(1000, dtype=np.int64), labels, "a title"))
    assert max(image.size) < 2000
    assert image.tobytes() != opened(empty).tobytes()


@pytest.mark.parametrize(("count", "channels"), [(1, 1), (9, 3), (40, 3)])
def test_contact_sheet_has_a_cell_per_image(count: int, channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, 20, 20, channels), dtype=np.uint8)
    image = opened(plots.mistakes(images, ["this\n→ that 99%"] * count, "a title"))
    assert image.width >= 170 * min(count, 8)


@pytest.mark.parametrize("shape", [(5, 5, 1, 6), (7, 7, 3, 100), (11, 11, 3, 96)])
def test_kernels_of_any_shape_are_plotted(shape: tuple[int, ...]) -> None:
    weights = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    one, three = (opened(plots.kernels([weights] * columns, "a title")) for columns in (1, 3))
    assert three.width == 3 * one.width


def test_confusion_matrix_accepts_empty_classes() -> None:
    opened(plots.confusion(np.diag([1, 0, 1]), ["a", "b", "c"], "all but empty"))
