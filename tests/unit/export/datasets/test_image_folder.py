from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.datasets import image_folder
from export.datasets.dataset import Split, Streamed, settled
from export.datasets.image_files import Size
from export.errors import DatasetError
from tests.support.images import drawn_signs

SIZE = Size(24, 24, 3, "crop")


@pytest.fixture
def signs(tmp_path: Path) -> Path:
    drawn_signs.write_folders(tmp_path)
    return tmp_path


def refused(where: Path) -> str:
    with pytest.raises(DatasetError) as refusal:
        image_folder.load(where, SIZE)
    return str(refusal.value)


def test_a_class_is_a_folder_of_train(signs: Path) -> None:
    (signs / "train" / "stop" / "notes.txt").write_text("not a picture")
    (signs / "train" / "stop" / ".hidden.png").write_text("nor this")
    (signs / "train" / ".cache").mkdir()
    dataset = image_folder.load(signs, SIZE)
    assert dataset.labels == ("no entry", "priority", "stop")
    assert dataset.name == signs.name
    assert dataset.photographs
    assert np.bincount(dataset.train.labels).tolist() == [12, 12, 12]
    assert np.bincount(dataset.test.labels).tolist() == [3, 3, 3]
    assert isinstance(dataset.train, Streamed)
    pixels, kept = dataset.train.read(np.array([0, 35]))
    assert pixels.shape == (2, 24, 24, 3)
    assert kept.tolist() == [0, 35]


def test_val_is_as_good_as_test_and_without_either_a_part_is_held_out(signs: Path) -> None:
    (signs / "test").rename(signs / "val")
    assert len(image_folder.load(signs, SIZE).test) == 9
    (signs / "val").rename(signs / "elsewhere")
    dataset = image_folder.load(signs, SIZE)
    assert (len(dataset.train), len(dataset.test)) == (32, 4)
    assert dataset.test.labels.tolist() == image_folder.load(signs, SIZE).test.labels.tolist()


def test_the_digest_tells_names_and_lengths(signs: Path) -> None:
    first = image_folder.load(signs, SIZE).sha256
    assert image_folder.load(signs, SIZE).sha256 == first
    (signs / "train" / "stop" / "000.png").rename(signs / "train" / "stop" / "new.png")
    assert image_folder.load(signs, SIZE).sha256 != first


def test_what_is_no_data_set(signs: Path, tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere").endswith(
        "holds no folder train with a folder of pictures for each class"
    )
    empty = signs / "train" / "yield"
    empty.mkdir()
    assert refused(signs).startswith(f"1 of the 4 classes in {signs / 'train'} hold no picture")
    assert refused(signs).endswith("such as yield")
    empty.rename(signs / "test" / "yield")
    assert refused(signs) == f"{signs / 'test'} holds the class yield, and {signs / 'train'} does not"


def test_one_class_is_none(signs: Path) -> None:
    for label in ("stop", "priority"):
        (signs / "train" / label).rename(signs / label)
    assert "holds 1 classes, that is, folders: at least 2 are needed" in refused(signs)


def test_damaged_pictures_are_named_and_skipped_up_to_a_hundredth(tmp_path: Path) -> None:
    drawn_signs.write_folders(tmp_path, train=33, test=1)
    damaged = tmp_path / "train" / "stop" / "007.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    dataset = image_folder.load(tmp_path, SIZE)
    train = settled(dataset.train)
    assert isinstance(train, Split)
    assert np.bincount(train.labels).tolist() == [33, 33, 32]
    assert dataset.faults is not None
    sentence = dataset.faults.told()
    assert sentence is not None
    assert sentence.startswith(f"1 of 102 pictures in {tmp_path} are skipped: train/stop/007.png (")

    (tmp_path / "train" / "stop" / "008.png").write_bytes(b"")
    with pytest.raises(
        DatasetError, match="is damaged: 2 of its 102 pictures cannot be read so far, and 1% is"
    ):
        settled(image_folder.load(tmp_path, SIZE).train)
