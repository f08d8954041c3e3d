from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from export.report import confusion, curves, kernels, mistakes, reliability
from export.training.checkpoint import Curves


def opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    return image


def learning(epochs: int, least: float = 0.0) -> Curves:
    falling = tuple(least + 1 / (epoch + 1) for epoch in range(epochs))
    rising = tuple(1 - loss / 3 for loss in falling)
    return Curves(falling, rising, tuple(loss / 2 for loss in falling), rising)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn, so that a test can read their axes."""
    drawn: list[Figure] = []
    savefig = Figure.savefig

    def record(figure: Figure, *arguments: Any, **options: Any) -> None:
        drawn.append(figure)
        savefig(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", record)
    return drawn


def tick_labels(figure: Figure, axes: Axes, axis: str) -> list[Any]:
    """The visible tick labels of an axis, with their boxes in pixels."""
    low, high = sorted(axes.get_xlim() if axis == "x" else axes.get_ylim())
    found = (axes.xaxis if axis == "x" else axes.yaxis).get_ticklabels()
    positions = [label.get_position()[0 if axis == "x" else 1] for label in found]
    return [label for label, place in zip(found, positions, strict=True) if low <= place <= high]


@pytest.mark.parametrize("epochs", [1, 2, 5, 40])
@pytest.mark.parametrize("members", [1, 5])
def test_curves_have_whole_epochs_and_labels_that_do_not_overlap(
    figures: list[Figure], epochs: int, members: int
) -> None:
    drawn = curves.plot([learning(epochs)] * members, "a title")
    image = opened(drawn)
    assert image.width > 2 * image.height
    (figure,) = figures
    for axes in figure.axes:
        epoch_labels = [label.get_text() for label in tick_labels(figure, axes, "x")]
        assert epoch_labels
        assert all(label.isdecimal() and 1 <= int(label) <= epochs for label in epoch_labels)
        boxes = [label.get_window_extent() for label in tick_labels(figure, axes, "y")]
        assert len(boxes) >= 3
        tops = sorted(boxes, key=lambda box: float(box.y0))
        assert all(lower.y1 <= upper.y0 for lower, upper in pairwise(tops))
    assert curves.plot([learning(epochs)] * members, "a title") == drawn


def test_legend_covers_no_point_and_names_each_member(figures: list[Figure]) -> None:
    curves.plot([learning(1)] * 5, "a title")
    (figure,) = figures
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert [name for name in names if name.startswith("member")] == [f"member {n}" for n in range(1, 6)]
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert all(axes.get_window_extent().y0 > box.y1 for axes in figure.axes)


@pytest.mark.parametrize("losses", [(0.0, 0.0), (0.0231, 0.0232), (1e-7, 3.0)])
def test_curves_of_any_loss_have_labels(figures: list[Figure], losses: tuple[float, ...]) -> None:
    accuracy = (0.5, 0.6)
    curves.plot([Curves(losses, accuracy, losses, accuracy)], "a title")
    assert len(tick_labels(figures[0], figures[0].axes[0], "y")) >= 2


@pytest.mark.parametrize("classes", [2, 10, 43])
def test_confusion_matrix_grows_with_the_classes(classes: int) -> None:
    counts = np.diag(np.arange(1, classes + 1)) + np.eye(classes, k=1, dtype=np.int64)
    image = opened(confusion.plot(counts, [str(label) for label in range(classes)], "a title"))
    assert image.width > 100 * 0.28 * classes


def test_single_confusion_among_1000_classes_is_visible() -> None:
    counts = np.zeros((1000, 1000), np.int64)
    labels = [f"class {number}" for number in range(1000)]
    empty = confusion.plot(counts + 50 * np.eye(1000, dtype=np.int64), labels, "a title")
    counts[700, 20] = 1
    image = opened(confusion.plot(counts + 50 * np.eye(1000, dtype=np.int64), labels, "a title"))
    assert max(image.size) < 2000
    assert image.tobytes() != opened(empty).tobytes()


def test_confusion_matrix_accepts_empty_classes() -> None:
    opened(confusion.plot(np.diag([1, 0, 1]), ["a", "b", "c"], "all but empty"))


@pytest.mark.parametrize(("count", "channels"), [(1, 1), (9, 3), (40, 3)])
def test_contact_sheet_has_a_cell_per_image(count: int, channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, 20, 20, channels), dtype=np.uint8)
    image = opened(mistakes.plot(images, ["this\n→ that 99%"] * count, "a title"))
    assert image.width >= 170 * min(count, 8)


def weights_of(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(5, 5, 1, 6), (3, 3, 1, 32), (7, 7, 3, 100), (11, 11, 3, 96)])
@pytest.mark.parametrize("members", [1, 5])
def test_kernels_are_large_and_have_a_scale(
    figures: list[Figure], shape: tuple[int, ...], members: int
) -> None:
    image = opened(kernels.plot([weights_of(*shape)] * members, "a title"))
    assert max(image.size) < 1600
    (figure,) = figures
    *grid, scale = figure.axes
    assert scale.get_ylabel().startswith("weight")
    assert scale.get_ylim()[1] == pytest.approx(-scale.get_ylim()[0])
    pictures = [axes.images[0].get_array() for axes in grid if axes.images]
    assert len(pictures) == members
    for axes, picture in zip(grid, pictures, strict=False):
        assert picture is not None
        assert axes.get_window_extent().width / picture.shape[1] >= 4  # pixels of a weight


def test_kernels_leave_no_row_empty(figures: list[Figure]) -> None:
    kernels.plot([weights_of(5, 5, 1, 6)], "a title")
    picture = figures[0].axes[0].images[0].get_array()
    assert picture is not None
    assert picture.shape == (2 * 6 - 1, 3 * 6 - 1)
    assert not np.isnan(np.asarray(picture)[:5, :5]).any()


def test_noise_of_the_initialization_is_smoothed_and_edges_are_not() -> None:
    noise = weights_of(7, 7, 3, 20)
    assert kernels._is_noisy([noise])
    edge = np.zeros((7, 7, 3, 20), np.float32)
    edge[:, :3], edge[:, 3:] = 1, -1
    assert not kernels._is_noisy([edge])
    chosen = kernels._select(np.concatenate([noise, edge], axis=3), 20, smoothed=False)
    np.testing.assert_array_equal(chosen, edge)


def test_reliability_shows_empty_bins_and_single_images() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.55, 0.45]], np.float32)
    opened(reliability.plot(probabilities, np.array([0, 0, 0]), "a title"))
