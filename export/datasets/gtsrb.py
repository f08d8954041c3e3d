"""GTSRB, the German Traffic Sign Recognition Benchmark: 39,209 and 12,630 photographs of 43 kinds of sign.

J. Stallkamp, M. Schlipsing, J. Salmen, C. Igel, Man vs. computer: benchmarking machine learning algorithms
for traffic sign recognition, Neural Networks 32, 2012. The pictures of a track are frames of one physical
sign that a car approached, and near copies of each other.

Two forms are read. One is a folder with train.tar and test.tar, or what is in them: a CSV file each that
names the pictures (columns path and class_id). The other is that of the benchmark's own archives: PPM
pictures in Final_Training/Images/<class>/ with a GT-<class>.csv each, and in Final_Test/Images/ with
GT-final_test.csv (semicolons, columns Filename and ClassId).
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ..errors import DatasetError
from .archive_index import tree
from .dataset import Dataset, Streamed
from .image_files import Faults, Location, Size

LABELS: Final = (
    "speed limit 20", "speed limit 30", "speed limit 50", "speed limit 60", "speed limit 70",
    "speed limit 80", "end of speed limit 80", "speed limit 100", "speed limit 120", "no overtaking",
    "no overtaking by lorries", "priority at next crossing", "priority road", "give way", "stop",
    "no vehicles", "no lorries", "no entry", "danger", "bend to the left", "bend to the right",
    "double bend", "uneven road", "slippery road", "road narrows on the right", "roadworks",
    "traffic lights", "pedestrians", "children", "cyclists", "ice or snow", "wild animals",
    "end of all limits", "turn right ahead", "turn left ahead", "straight ahead only",
    "straight ahead or right", "straight ahead or left", "keep right", "keep left", "roundabout",
    "end of no overtaking", "end of no overtaking by lorries",
)  # fmt: skip

_FORMS = "either train.tar and test.tar, or Final_Training and Final_Test"


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of a CSV file. `track` is the one of the picture's class, -1 where there are no tracks."""

    label: int
    track: int
    name: str
    location: Location


def found_in(folder: Path) -> bool:
    """Whether a folder looks like this data set, whole or in part."""
    names = ("train.tar", "test.tar", "train.csv", "test.csv", "Final_Training", "Final_Test", "GTSRB")
    return any((folder / name).exists() for name in names)


def load(folder: Path, size: Size) -> Dataset:
    """The data set in `folder`, its pictures to be read in `size`.

    The digest is that of the classes and files of all pictures, in order, training set first.

    Raises:
        DatasetError: something is missing or not what it should be.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder: --data takes the one with {_FORMS}")
    if not found_in(folder):
        raise DatasetError(f"{folder} does not hold GTSRB: {_FORMS}")
    home = folder / "GTSRB" if (folder / "GTSRB").is_dir() else folder
    original = any((home / name).is_dir() for name in ("Final_Training", "Final_Test"))
    read = _original if original else _packed
    train, test = read(home, "train"), read(home, "test")
    sha256 = _digest([*train, *test])
    faults = Faults(len(train) + len(test), str(folder))
    return Dataset(
        name="GTSRB" if (len(train), len(test)) == (39_209, 12_630) else "signs in the form of GTSRB",
        labels=LABELS,
        train=_examples(train, size, faults),
        test=_examples(test, size, faults),
        sha256=sha256,
        faults=faults,
    )


def _packed(home: Path, part: str) -> Sequence[_Row]:
    files = tree(home, part)
    listing = f"{part}.csv"
    if listing not in files:
        raise DatasetError(f"{home / part}.tar does not hold {listing}: was it downloaded whole?")
    rows = []
    missing = []
    for line in _lines(files[listing], ",", ("path", "class_id")):
        name = line["path"]
        if name not in files:
            missing.append(name)
            continue
        rows.append(_row(name, line["class_id"], files[name], tracked=part == "train"))
    return _complete(rows, missing, f"{home / listing}")


def _original(home: Path, part: str) -> Sequence[_Row]:
    folder = home / {"train": "Final_Training", "test": "Final_Test"}[part] / "Images"
    listings = sorted(folder.rglob("GT-*.csv")) if part == "train" else _test_listing(home, folder)
    if not listings:
        raise DatasetError(f"{folder} holds no GT-….csv, which tells the classes: was it unpacked whole?")
    rows = []
    missing = []
    for listing in listings:
        where = folder if part == "test" else listing.parent
        for line in _lines(Location(listing, str(listing)), ";", ("Filename", "ClassId")):
            path = where / line["Filename"]
            if not path.is_file():
                missing.append(str(path.relative_to(home)))
                continue
            location = Location(path, str(path.relative_to(home)))
            rows.append(_row(path.name, line["ClassId"], location, tracked=part == "train"))
    return _complete(rows, missing, f"the CSV file of {folder}")


def _test_listing(home: Path, folder: Path) -> Sequence[Path]:
    """It comes in an archive of its own; the one among the pictures does not tell the classes."""
    name = "GT-final_test.csv"
    return [path for path in (folder / name, home / name, home.parent / name) if path.is_file()][:1]


def _lines(location: Location, delimiter: str, columns: Sequence[str]) -> Sequence[Mapping[str, str]]:
    try:
        text = location.read().decode()
    except (DatasetError, UnicodeDecodeError) as error:
        raise DatasetError(f"{location.name} cannot be read: {error}") from error
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    absent = [column for column in columns if column not in (reader.fieldnames or ())]
    if absent:
        raise DatasetError(f"{location.name} has no column {absent[0]}")
    lines = list(reader)
    for number, line in enumerate(lines, start=2):
        if any(not line[column] for column in columns):
            raise DatasetError(f"{location.name} is truncated: line {number} is not whole")
    return lines


def _row(name: str, label: str, location: Location, tracked: bool) -> _Row:
    if not label.isascii() or not label.isdigit() or int(label) >= len(LABELS):
        raise DatasetError(f"{name} has the class {label}: they go from 0 to {len(LABELS) - 1}")
    stem = Path(name).stem
    track = stem.partition("_")[0]
    if tracked and not track.isdigit():
        raise DatasetError(f"{name} does not tell its track: training pictures are called <track>_<frame>")
    return _Row(int(label), int(track) if tracked else -1, stem, location)


def _complete(rows: list[_Row], missing: Sequence[str], listing: str) -> Sequence[_Row]:
    if missing:
        raise DatasetError(
            f"{len(missing):,} of the {len(rows) + len(missing):,} pictures that {listing} names "
            f"are missing, such as {missing[0]}: was the data set downloaded and unpacked whole?"
        )
    if not rows:
        raise DatasetError(f"{listing} names no picture")
    return sorted(rows, key=lambda row: (row.label, row.track, row.name))


def _digest(rows: Sequence[_Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        try:
            content = row.location.read()
        except DatasetError as error:
            raise DatasetError(f"{row.location.name} cannot be read: {error}") from error
        digest.update(b"%d %d\n" % (row.label, len(content)))
        digest.update(content)
    return digest.hexdigest()


def _examples(rows: Sequence[_Row], size: Size, faults: Faults) -> Streamed:
    tracks = {pair: number for number, pair in enumerate(sorted({(row.label, row.track) for row in rows}))}
    tracked = rows[0].track >= 0
    return Streamed(
        [row.location for row in rows],
        np.array([row.label for row in rows], np.int64),
        size,
        faults,
        np.array([tracks[row.label, row.track] for row in rows], np.int64) if tracked else None,
    )
