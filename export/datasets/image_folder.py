"""Loads image folders: train/<label>/<image>, and test/ or val/ in the same structure.

Without test/ and val/, a part of train/ is held out. Only names are kept in memory, so the data set can be of
any size.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ..errors import DatasetError
from .dataset import Dataset, FileExamples
from .image_files import ImageErrors, Location, Size

_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})

# The fraction of train/ that is held out without test/ and val/.
_HELD_OUT: Final = 0.1

_Entry = tuple[int, str, int]  # class, name below the folder, bytes


def load(folder: Path, size: Size) -> Dataset:
    """Load an image folder, with one class per folder in train/, sorted by name.

    The digest covers the names and lengths of the files, not their content, which may be too large to read
    twice.

    Raises:
        DatasetError: there are fewer than two classes, a class has no images, or a test class is not in
            train/.
    """
    if not (folder / "train").is_dir():
        raise DatasetError(f"{folder} does not contain a folder train with one folder of images per class")
    labels = _classes(folder / "train")
    if len(labels) < 2:
        raise DatasetError(
            f"{folder / 'train'} contains {len(labels)} classes (folders); expected at least 2"
        )
    train = [entry for index, label in enumerate(labels) for entry in _entries(folder, "train", index, label)]
    empty = [label for index, label in enumerate(labels) if index not in {entry[0] for entry in train}]
    if empty:
        raise DatasetError(
            f"{len(empty)} of the {len(labels)} classes in {folder / 'train'} contain no images "
            f"({', '.join(sorted(_SUFFIXES))}), such as {empty[0]}"
        )
    test = _test(folder, labels)
    image_errors = ImageErrors(len(train) + len(test), str(folder))
    training = _examples(folder, train, size, image_errors)
    if test:
        testing = _examples(folder, test, size, image_errors)
    else:
        training, testing = training.hold_out(_HELD_OUT, seed=0)
    return Dataset(
        name=folder.resolve().name,
        labels=tuple(labels),
        train=training,
        test=testing,
        sha256=_digest([*train, *test]),
        photographs=True,
        image_errors=image_errors,
    )


def _classes(folder: Path) -> Sequence[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")
            )
    except OSError as error:
        raise DatasetError(f"{folder} cannot be read: {error.strerror or error}") from error


def _test(folder: Path, labels: Sequence[str]) -> list[_Entry]:
    for part in ("test", "val"):
        if not (folder / part).is_dir():
            continue
        found = _classes(folder / part)
        unknown = sorted(set(found) - set(labels))
        if unknown:
            raise DatasetError(
                f"{folder / part} contains the class {unknown[0]}, which is not in {folder / 'train'}"
            )
        index = {label: number for number, label in enumerate(labels)}
        entries = [entry for label in found for entry in _entries(folder, part, index[label], label)]
        if not entries:
            raise DatasetError(f"{folder / part} contains no images")
        return entries
    return []


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
