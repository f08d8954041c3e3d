from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.datasets.labelled_images import load_test_images
from export.errors import DatasetError
from export.repository.io_spec import InputSpec
from tests.support.models.gray_classifier import LABELS, SIDE, image, level

SPEC = InputSpec("pixels", "uint8", "NHWC", SIDE, SIDE, 1, "stretch")


def put(folder: Path, *shades: int, named: bool = True) -> None:
    for shade in shades:
        place = folder / (LABELS[shade] if named else f"{shade:02}")
        place.mkdir(parents=True, exist_ok=True)
        (place / "one.png").write_bytes(image(level(shade)))
        (place / "notes.txt").write_text("no image")


@pytest.mark.parametrize("part", ["", "test", "val", "valid", "validation"])
def test_folders_of_classes_are_found_by_their_labels(tmp_path: Path, part: str) -> None:
    put(tmp_path / part, 7, 2)
    images = load_test_images(tmp_path, LABELS, SPEC)
    assert images.labels.tolist() == [2, 7]
    assert list(images.names) == ["shade 2/one.png", "shade 7/one.png"]
    pixels, kept = images.read(np.arange(2), SPEC)
    assert kept.tolist() == [0, 1]
    assert pixels[:, 0, 0, 0].tolist() == [level(2), level(7)]


def test_folders_of_classes_may_have_their_numbers(tmp_path: Path) -> None:
    put(tmp_path, 0, 9, named=False)
    assert load_test_images(tmp_path, LABELS, SPEC).labels.tolist() == [0, 9]


def test_folder_of_a_training_gives_the_images_that_it_did_not_see(tmp_path: Path) -> None:
    put(tmp_path / "train", 1, 2)
    put(tmp_path / "test", 2)
    images = load_test_images(tmp_path, LABELS, SPEC)
    assert images.labels.tolist() == [2]


def test_idx_files_give_the_test_set(digits: Path) -> None:
    spec = InputSpec("pixels", "uint8", "NHWC", 28, 28, 1, "fit", "light-on-dark")
    images = load_test_images(digits, tuple("0123456789"), spec)
    assert (len(images), images.names[3]) == (100, "image 3")
    pixels, _ = images.read(np.arange(4), spec)
    assert pixels.shape == (4, 28, 28, 1)


def test_limit_keeps_images_of_all_classes(tmp_path: Path) -> None:
    put(tmp_path, *range(10))
    assert load_test_images(tmp_path, LABELS, SPEC).limit(5).labels.tolist() == [0, 2, 4, 6, 8]


def test_unreadable_images_are_listed_and_left_out(tmp_path: Path) -> None:
    put(tmp_path, 3, 4)
    (tmp_path / LABELS[3] / "two.png").write_bytes(b"no image")
    images = load_test_images(tmp_path, LABELS, SPEC)
    _, kept = images.read(np.arange(3), SPEC)
    assert kept.tolist() == [0, 2]
    assert images.unreadable == {"shade 3/two.png": "not an image"}


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ([], "contains no folders; expected one folder of images per class, named like a label"),
        (["shade 1", "shade 99"], "contains the class 'shade 99', which is not one of the 10 labels"),
        (["0", "10"], "contains the class '0', which is not one of the 10 labels"),
        (["shade 1"], "the 1 folders in .* contain no images"),
    ],
)
def test_wrong_folders_are_refused(tmp_path: Path, folders: list[str], message: str) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir()
    with pytest.raises(DatasetError, match=message):
        load_test_images(tmp_path, LABELS, SPEC)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="pass --data DIR"):
        load_test_images(None, LABELS, SPEC)
    with pytest.raises(DatasetError, match="is not a folder"):
        load_test_images(tmp_path / "none", LABELS, SPEC)
