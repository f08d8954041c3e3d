"""Loads image folders: train/<label>/<image>, and validation and test images in the same structure.

The validation images are in val/, valid/ or validation/, the test images in test/. Without test/ the
validation images are the test set, and without both a part of train/ is held out. Only names are kept in
memory, so the data set can be of any size.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ..errors import DatasetError
from .dataset import HELD_OUT, Dataset, FileExamples
from .image_files import ImageErrors, Location, Size

_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})

_VALIDATION_FOLDERS: Final = ("val", "valid", "validation")
_TEST_FOLDER: Final = "test"

# The fraction of train/ that is held out if there is no other test set.
_HELD_OUT: Final = 0.1

_Entry = tuple[int, str, int]  # class, name below the folder, bytes


def load(folder: Path, size: Size) -> Dataset:
    """Load an image folder, with one class per folder in train/, sorted by name.

    The digest covers the names and lengths of the files, not their content, which may be too large to read
    twice.

    Raises:
        DatasetError: there are fewer than two classes, a class has no images, a name is not text, a
            validation or test class is not in train/, or there are several folders of validation images.
    """
    if not (folder / "train").is_dir():
        raise DatasetError(
            f"{folder} does not contain a folder train with one folder of images per class; "
            "move the folders of the classes into it"
        )
    labels = list_classes(folder / "train")
    if len(labels) < 2:
        raise DatasetError(
            f"{folder / 'train'} contains {len(labels)} classes (folders); expected at least 2"
        )
    train = _part(folder, "train", labels)
    empty = [label for index, label in enumerate(labels) if index not in {entry[0] for entry in train}]
    if empty:
        raise DatasetError(
            f"{len(empty)} of the {len(labels)} classes in {folder / 'train'} contain no images "
            f"({', '.join(sorted(_SUFFIXES))}), such as {empty[0]}"
        )
    others = {part: _part(folder, part, labels) for part in _other_parts(folder)}
    entries = [*train, *(entry for part in others.values() for entry in part)]
    image_errors = ImageErrors(len(entries), str(folder))
    training = _examples(folder, train, size, image_errors)
    examples = {part: _examples(folder, each, size, image_errors) for part, each in others.items()}
    test_part = _TEST_FOLDER if _TEST_FOLDER in examples else next(iter(examples), None)
    validation_part = next((part for part in examples if part != test_part), None)
    if test_part is None:
        training, test = training.hold_out(_HELD_OUT, seed=0)
    else:
        test = examples[test_part]
    return Dataset(
        name=_printable(folder.resolve().name),
        labels=tuple(labels),
        train=training,
        test=test,
        sha256=_digest(entries),
        photographs=True,
        image_errors=image_errors,
        validation=None if validation_part is None else examples[validation_part],
        validation_source=HELD_OUT if validation_part is None else f"{validation_part}/",
        test_source=HELD_OUT if test_part is None else f"{test_part}/",
    )


def _other_parts(folder: Path) -> Sequence[str]:
    """Return the names of the folders with test and validation images."""
    validation = [name for name in _VALIDATION_FOLDERS if (folder / name).is_dir()]
    if len(validation) > 1:
        raise DatasetError(f"{folder} contains both {' and '.join(validation)}; keep one of them")
    test = [_TEST_FOLDER] if (folder / _TEST_FOLDER).is_dir() else []
    return [*test, *validation]


def list_images(folder: Path) -> Sequence[Path]:
    """Return the image files of a class, sorted by name.

    Raises:
        DatasetError: the folder cannot be read.
    """
    return [folder / Path(name).name for _, name, _ in _entries(folder.parent, ".", 0, folder.name)]


def list_classes(folder: Path) -> Sequence[str]:
    """Return the names of the folders in a folder, sorted, without hidden ones.

    Raises:
        DatasetError: the folder cannot be read, or a name is not text.
    """
    try:
        with os.scandir(folder) as entries:
            labels = sorted(
                entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")
            )
    except OSError as error:
        raise DatasetError(f"{folder} cannot be read: {error.strerror or error}") from error
    for label in labels:
        if label != _printable(label):
            raise DatasetError(
                f"{_printable(str(folder / label))} is not a label: its name is not UTF-8 or has a "
                "control character; rename it"
            )
    return labels


def _printable(name: str) -> str:
    """Escape bytes that are not UTF-8, and control characters and line ends."""
    return "".join(
        ascii(each)[1:-1] if unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") else each for each in name
    )


def _part(folder: Path, part: str, labels: Sequence[str]) -> list[_Entry]:
    """Return the images of a part; one other than train may lack classes."""
    found = list_classes(folder / part)
    unknown = sorted(set(found) - set(labels))
    if unknown:
        raise DatasetError(
            f"{folder / part} contains the class {unknown[0]}, which is not in {folder / 'train'}"
        )
    index = {label: number for number, label in enumerate(labels)}
    entries = [entry for label in found for entry in _entries(folder, part, index[label], label)]
    if not entries and part != "train":
        raise DatasetError(f"{folder / part} contains no images")
    return entries


def _entries(folder: Path, part: str, index: int, label: str) -> Iterator[_Entry]:
    try:
        with os.scandir(folder / part / label) as entries:
            found = sorted(
                (entry.name, entry.stat().st_size)
                for entry in entries
                if os.path.splitext(entry.name)[1].lower() in _SUFFIXES
                and not entry.name.startswith(".")
                and entry.is_file()
            )
    except OSError as error:
        raise DatasetError(f"{folder / part / label} cannot be read: {error.strerror or error}") from error
    for name, length in found:
        yield index, f"{part}/{label}/{name}", length


def _examples(folder: Path, entries: Sequence[_Entry], size: Size, image_errors: ImageErrors) -> FileExamples:
    locations = [Location(folder / name, name) for _, name, _ in entries]
    return FileExamples(locations, np.array([index for index, _, _ in entries], np.int64), size, image_errors)


def _digest(entries: Sequence[_Entry]) -> str:
    digest = hashlib.sha256()
    for _, name, length in entries:
        digest.update(f"{length} {name}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
