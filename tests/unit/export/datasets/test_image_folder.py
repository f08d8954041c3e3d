from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from export.datasets import image_folder
from export.datasets.dataset import FileExamples, InMemoryExamples, cache_in_memory
from export.datasets.image_files import Size
from export.errors import DatasetError
from tests.support.images import drawn_signs

SIZE = Size(24, 24, 3, "crop")


@pytest.fixture
def signs(tmp_path: Path) -> Path:
    drawn_signs.write_folders(tmp_path)
    return tmp_path


def rejected(where: Path) -> str:
    with pytest.raises(DatasetError) as raised:
        image_folder.load(where, SIZE)
    return str(raised.value)


def test_each_folder_of_train_is_a_class(signs: Path) -> None:
    (signs / "train" / "stop" / "notes.txt").write_text("not a image")
    (signs / "train" / "stop" / ".hidden.png").write_text("nor this")
    (signs / "train" / ".cache").mkdir()
    dataset = image_folder.load(signs, SIZE)
    assert dataset.labels == ("no entry", "priority", "stop")
    assert dataset.name == signs.name
    assert dataset.photographs
    assert np.bincount(dataset.train.labels).tolist() == [12, 12, 12]
    assert np.bincount(dataset.test.labels).tolist() == [3, 3, 3]
    assert isinstance(dataset.train, FileExamples)
    pixels, kept = dataset.train.read(np.array([0, 35]))
    assert pixels.shape == (2, 24, 24, 3)
    assert kept.tolist() == [0, 35]


def test_test_set_is_held_out_without_other_folders(signs: Path) -> None:
    (signs / "test").rename(signs / "elsewhere")
    dataset = image_folder.load(signs, SIZE)
    assert (len(dataset.train), len(dataset.test)) == (32, 4)
    assert dataset.test.labels.tolist() == image_folder.load(signs, SIZE).test.labels.tolist()
    assert (dataset.validation, dataset.test_source, dataset.validation_source) == (
        None,
        "held out",
        "held out",
    )


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_validation_folder_is_the_test_set_only_without_another(signs: Path, name: str) -> None:
    (signs / "test").rename(signs / name)
    dataset = image_folder.load(signs, SIZE)
    assert (len(dataset.train), len(dataset.test)) == (36, 9)
    assert (dataset.validation, dataset.test_source) == (None, f"{name}/")

    shutil.copytree(signs / name, signs / "test")
    (signs / "test" / "stop" / "000.png").unlink()
    dataset = image_folder.load(signs, SIZE)
    assert dataset.validation is not None
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (36, 9, 8)
    assert (dataset.validation_source, dataset.test_source) == (f"{name}/", "test/")


def test_two_validation_folders_are_rejected(signs: Path) -> None:
    for name in ("val", "validation"):
        shutil.copytree(signs / "test", signs / name)
    assert rejected(signs) == f"{signs} contains both val and validation; keep one of them"


@pytest.mark.parametrize(
    ("name", "shown"), [(b"caf\xe9", r"caf\udce9"), (b"two\nlines", r"two\nlines"), (b"\x1b[2J", r"\x1b[2J")]
)
def test_folder_name_that_is_no_label_is_rejected(signs: Path, name: bytes, shown: str) -> None:
    (signs / "train" / "stop").rename(signs / "train" / os.fsdecode(name))
    assert rejected(signs) == (
        f"{signs / 'train'}/{shown} is not a label: its name is not UTF-8 or has a control character; "
        "rename it"
    )


def test_name_of_the_data_set_is_always_text(signs: Path, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (signs / "train").rename(folder / "train")
    assert image_folder.load(folder, SIZE).name == r"caf\udce9"


def test_digest_covers_names(signs: Path) -> None:
    first = image_folder.load(signs, SIZE).sha256
    assert image_folder.load(signs, SIZE).sha256 == first
    (signs / "train" / "stop" / "000.png").rename(signs / "train" / "stop" / "new.png")
    assert image_folder.load(signs, SIZE).sha256 != first


def test_invalid_folder_is_rejected(signs: Path, tmp_path: Path) -> None:
    assert rejected(tmp_path / "nowhere").endswith(
        "does not contain a folder train with one folder of images per class; "
        "move the folders of the classes into it"
    )
    empty = signs / "train" / "yield"
    empty.mkdir()
    assert rejected(signs).startswith(f"1 of the 4 classes in {signs / 'train'} contain no images")
    assert rejected(signs).endswith("such as yield")
    empty.rename(signs / "test" / "yield")
    assert rejected(signs) == f"{signs / 'test'} contains the class yield, which is not in {signs / 'train'}"


def test_single_class_is_rejected(signs: Path) -> None:
    for label in ("stop", "priority"):
        (signs / "train" / label).rename(signs / label)
    assert "contains 1 classes (folders); expected at least 2" in rejected(signs)


def test_damaged_images_are_skipped_up_to_one_percent(tmp_path: Path) -> None:
    drawn_signs.write_folders(tmp_path, train=33, test=1)
    damaged = tmp_path / "train" / "stop" / "007.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    dataset = image_folder.load(tmp_path, SIZE)
    train = cache_in_memory(dataset.train)
    assert isinstance(train, InMemoryExamples)
    assert np.bincount(train.labels).tolist() == [33, 33, 32]
    assert dataset.image_errors is not None
    sentence = dataset.image_errors.summary()
    assert sentence is not None
    assert sentence.startswith(f"1 of 102 images in {tmp_path} are skipped: train/stop/007.png (")

    (tmp_path / "train" / "stop" / "008.png").write_bytes(b"")
    with pytest.raises(
        DatasetError, match="is damaged: 2 of its 102 images are unreadable so far, the limit is 1%"
    ):
        cache_in_memory(image_folder.load(tmp_path, SIZE).train)
