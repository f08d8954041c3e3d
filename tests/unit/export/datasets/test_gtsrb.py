from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.datasets import gtsrb
from export.datasets.dataset import cache_in_memory
from export.datasets.image_files import Location, Size
from export.errors import DatasetError
from tests.support.images import drawn_signs

SIZE = Size(24, 24, 3, "stretch")


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    folder = tmp_path / "packed"
    folder.mkdir()
    drawn_signs.write_packed(folder)
    return folder


def rejected(folder: Path) -> str:
    with pytest.raises(DatasetError) as raised:
        gtsrb.load(folder, SIZE)
    return str(raised.value)


def test_labels_are_43_and_unique() -> None:
    assert len(set(gtsrb.LABELS)) == 43


def test_tar_files_and_their_content_give_the_same_data_set(packed: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        with tarfile.open(packed / f"{part}.tar") as archive:
            archive.extractall(tmp_path / "unpacked", filter="data")
    one, other = gtsrb.load(packed, SIZE), gtsrb.load(tmp_path / "unpacked", SIZE)
    assert one.sha256 == other.sha256
    assert one.name == "signs in the format of GTSRB"
    assert (len(one.train), len(one.test)) == (36, 6)
    assert sorted(set(one.train.labels.tolist())) == sorted(drawn_signs.CLASSES)
    np.testing.assert_array_equal(one.train.labels, other.train.labels)
    np.testing.assert_array_equal(one.train.read(np.arange(36))[0], other.train.read(np.arange(36))[0])


@pytest.mark.parametrize("below", ["", "GTSRB"])
def test_original_format_has_the_same_images(packed: Path, tmp_path: Path, below: str) -> None:
    (tmp_path / "original" / below).mkdir(parents=True)
    drawn_signs.write_original(tmp_path / "original" / below)
    one, other = gtsrb.load(packed, SIZE), gtsrb.load(tmp_path / "original", SIZE)
    for part, same in ((one.train, other.train), (one.test, other.test)):
        np.testing.assert_array_equal(part.labels, same.labels)
        np.testing.assert_array_equal(part.read(np.arange(len(part)))[0], same.read(np.arange(len(part)))[0])
    assert one.train.groups is not None
    np.testing.assert_array_equal(one.train.groups, other.train.groups)


def test_hold_out_keeps_tracks_together(packed: Path) -> None:
    train = gtsrb.load(packed, SIZE).train
    rest, held = train.hold_out(0.2, seed=0)
    assert rest.groups is not None
    assert held.groups is not None
    assert not set(rest.groups) & set(held.groups)
    assert (len(rest), len(held)) == (28, 8)  # two of nine tracks
    in_memory, kept = (cache_in_memory(part).hold_out(0.2, seed=0) for part in (train, train))
    assert (len(in_memory[0]), len(kept[1])) == (28, 8)


def test_truncated_archive_is_rejected(packed: Path) -> None:
    length = (packed / "train.tar").stat().st_size
    for cut in (length // 2, length // 2 // 512 * 512, 100, 0):
        os.truncate(packed / "train.tar", cut)
        sentence = rejected(packed)
        assert "train.tar" in sentence or "train.csv" in sentence
        assert any(word in sentence for word in ("truncated", "download complete", "not a tar file")), (
            sentence
        )


def test_missing_files_are_named(packed: Path, tmp_path: Path) -> None:
    assert rejected(tmp_path / "nowhere").startswith(f"{tmp_path / 'nowhere'} is not a folder")
    (tmp_path / "empty").mkdir()
    assert "does not contain GTSRB; expected either train.tar and test.tar, or" in rejected(
        tmp_path / "empty"
    )
    (packed / "test.tar").unlink()
    assert rejected(packed) == f"{packed} contains neither test.tar nor a folder test"


def test_missing_images_of_a_list_are_named(packed: Path, tmp_path: Path) -> None:
    with tarfile.open(packed / "train.tar") as archive:
        archive.extractall(packed, filter="data")
    (packed / "train.tar").unlink()
    name = "train/14/00000_00001.png"
    (packed / name).unlink()
    assert rejected(packed).startswith(
        f"1 of the 36 images in {packed / 'train.csv'} are missing, such as {name}"
    )
    (packed / "train.csv").unlink()
    assert "does not contain train.csv" in rejected(packed)


@pytest.mark.parametrize(
    ("found", "wrong", "sentence"),
    [
        (",14\r\n", ",43\r\n", "has the class 43; expected 0 to 42"),
        ("class_id", "kind", "train.csv has no column class_id"),
        ("path,", "file,", "train.csv has no column path"),
    ],
)
def test_invalid_list_is_rejected(packed: Path, found: str, wrong: str, sentence: str) -> None:
    with tarfile.open(packed / "train.tar") as archive:
        archive.extractall(packed, filter="data")
    (packed / "train.tar").unlink()
    listing = packed / "train.csv"
    listing.write_bytes(listing.read_bytes().replace(found.encode(), wrong.encode()))
    assert sentence in rejected(packed)


def test_real_data_set_is_complete(real_data: Path) -> None:
    dataset = gtsrb.load(real_data / "gtsrb", SIZE)
    assert dataset.name == "GTSRB scaled to 32x32"
    assert (len(dataset.train), len(dataset.test)) == (39_209, 12_630)
    assert dataset.train.groups is not None
    assert len(np.unique(dataset.train.groups)) == 1_307
    assert len(np.unique(dataset.train.labels)) == len(np.unique(dataset.test.labels)) == 43


@pytest.mark.parametrize(
    ("sizes", "name"),
    [([(32, 32)] * 80, "GTSRB scaled to 32x32"), ([(30 + number % 7, 32) for number in range(80)], "GTSRB")],
)
def test_copy_of_one_size_is_named_after_it(sizes: list[tuple[int, int]], name: str, tmp_path: Path) -> None:
    locations = []
    for number, size in enumerate(sizes):
        Image.new("RGB", size).save(path := tmp_path / f"{number}.png")
        locations.append(Location(path, path.name))
    assert gtsrb.published_name(locations) == name
