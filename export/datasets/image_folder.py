"""Any folder of class folders: train/<label>/<picture>, and test/ or val/ likewise, else a part is held out.

Nothing is decoded and nothing kept but the names, so a data set may be as large as the disk.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ..errors import DatasetError
from .dataset import Dataset, Streamed
from .image_files import Faults, Location, Size

_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})

# Of the training pictures, where there is no folder to test with.
_TESTED: Final = 0.1

_Entry = tuple[int, str, int]  # class, name below the folder, bytes


def load(folder: Path, size: Size) -> Dataset:
    """The pictures below `folder`, one class a folder of train/, in the order of their names.

    The digest is that of the names and lengths of all picture files, not of their contents, which may be more
    than one wants to read twice.

    Raises:
        DatasetError: there is no class, a class without a picture, or a test class that is not trained.
    """
    if not (folder / "train").is_dir():
        raise DatasetError(f"{folder} holds no folder train with a folder of pictures for each class")
    labels = _classes(folder / "train")
    if len(labels) < 2:
        raise DatasetError(
            f"{folder / 'train'} holds {len(labels)} classes, that is, folders: at least 2 are needed"
        )
    train = [entry for index, label in enumerate(labels) for entry in _entries(folder, "train", index, label)]
    empty = [label for index, label in enumerate(labels) if index not in {entry[0] for entry in train}]
    if empty:
        raise DatasetError(
            f"{len(empty)} of the {len(labels)} classes in {folder / 'train'} hold no picture "
            f"({', '.join(sorted(_SUFFIXES))}), such as {empty[0]}"
        )
    test = _test(folder, labels)
    faults = Faults(len(train) + len(test), str(folder))
    training = _examples(folder, train, size, faults)
    if test:
        testing = _examples(folder, test, size, faults)
    else:
        training, testing = training.hold_out(_TESTED, seed=0)
    return Dataset(
        name=folder.resolve().name,
        labels=tuple(labels),
        train=training,
        test=testing,
        sha256=_digest([*train, *test]),
        photographs=True,
        faults=faults,
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
                f"{folder / part} holds the class {unknown[0]}, and {folder / 'train'} does not"
            )
        index = {label: number for number, label in enumerate(labels)}
        entries = [entry for label in found for entry in _entries(folder, part, index[label], label)]
        if not entries:
            raise DatasetError(f"{folder / part} holds no picture in a folder of its class")
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


def _examples(folder: Path, entries: Sequence[_Entry], size: Size, faults: Faults) -> Streamed:
    locations = [Location(folder / name, name) for _, name, _ in entries]
    return Streamed(locations, np.array([index for index, _, _ in entries], np.int64), size, faults)


def _digest(entries: Sequence[_Entry]) -> str:
    digest = hashlib.sha256()
    for _, name, length in entries:
        digest.update(f"{length} {name}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
