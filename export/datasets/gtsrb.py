"""GTSRB, the German Traffic Sign Recognition Benchmark: 39,209 and 12,630 photographs of 43 kinds of sign.

J. Stallkamp, M. Schlipsing, J. Salmen, C. Igel, Man vs. computer: benchmarking machine learning algorithms
for traffic sign recognition, Neural Networks 32, 2012. The images of a track are video frames of one physical
sign, and near duplicates.

Two formats are read. The packed format is train.tar and test.tar, or their content: each contains a CSV file
that lists the images (columns path and class_id). The original format is that of the benchmark's archives:
PPM images in Final_Training/Images/<class>/ with a GT-<class>.csv each, and in Final_Test/Images/ with
GT-final_test.csv (semicolons, columns Filename and ClassId).
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from ..errors import DatasetError
from .archive_index import list_files
from .dataset import Dataset, FileExamples
from .image_files import ImageErrors, Location, Size

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

NAME: Final = "GTSRB"

_COMPARED_SIZES: Final = 40
_FORMATS = "either train.tar and test.tar, or Final_Training and Final_Test"


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a CSV file; `track` is unique within the class, and -1 in the test set."""

    label: int
    track: int
    name: str
    location: Location


def is_gtsrb(folder: Path) -> bool:
    """Return True if the folder contains the data set or a part of it."""
    names = ("train.tar", "test.tar", "train.csv", "test.csv", "Final_Training", "Final_Test", "GTSRB")
    return any((folder / name).exists() for name in names)


def load(folder: Path, size: Size) -> Dataset:
    """Load the data set from `folder`, with images decoded to `size`.

    The digest covers the class and the file of each image, in order, training set first.

    Raises:
        DatasetError: files are missing or invalid.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; expected one with {_FORMATS}")
    if not is_gtsrb(folder):
        raise DatasetError(f"{folder} does not contain GTSRB; expected {_FORMATS}")
    root = folder / "GTSRB" if (folder / "GTSRB").is_dir() else folder
    original = any((root / name).is_dir() for name in ("Final_Training", "Final_Test"))
    read_rows = _read_original if original else _read_packed
    train, test = read_rows(root, "train"), read_rows(root, "test")
    sha256 = _digest([*train, *test])
    image_errors = ImageErrors(len(train) + len(test), str(folder))
    published = (len(train), len(test)) == (39_209, 12_630)
    name = (
        published_name([row.location for row in (*train, *test)])
        if published
        else "signs in the format of GTSRB"
    )
    return Dataset(
        name=name,
        labels=LABELS,
        train=_examples(train, size, image_errors),
        test=_examples(test, size, image_errors),
        sha256=sha256,
        image_errors=image_errors,
        published=published,
    )


def published_name(locations: Sequence[Location]) -> str:
    """Return the name, with the size if the images were scaled: the published ones have many sizes."""
    sizes = set()
    for location in locations[:: max(1, len(locations) // _COMPARED_SIZES)]:
        with contextlib.suppress(DatasetError, OSError), Image.open(io.BytesIO(location.read())) as image:
            sizes.add(image.size)
    if len(sizes) != 1:
        return NAME
    width, height = sizes.pop()
    return f"{NAME} scaled to {width}x{height}"


def _read_packed(root: Path, part: str) -> Sequence[_Row]:
    files = list_files(root, part)
    listing = f"{part}.csv"
    if listing not in files:
        raise DatasetError(f"{root / part}.tar does not contain {listing}; was the download complete?")
    rows = []
    missing = []
    for line in _lines(files[listing], ",", ("path", "class_id")):
        name = line["path"]
        if name not in files:
            missing.append(name)
            continue
        rows.append(_row(name, line["class_id"], files[name], tracked=part == "train"))
    return _check_and_sort(rows, missing, f"{root / listing}")


def _read_original(root: Path, part: str) -> Sequence[_Row]:
    folder = root / {"train": "Final_Training", "test": "Final_Test"}[part] / "Images"
    listings = sorted(folder.rglob("GT-*.csv")) if part == "train" else _test_listing(root, folder)
    if not listings:
        raise DatasetError(
            f"{folder} contains no GT-….csv with the classes; was the archive unpacked completely?"
        )
    rows = []
    missing = []
    for listing in listings:
        directory = folder if part == "test" else listing.parent
        for line in _lines(Location(listing, str(listing)), ";", ("Filename", "ClassId")):
            path = directory / line["Filename"]
            if not path.is_file():
                missing.append(str(path.relative_to(root)))
                continue
            location = Location(path, str(path.relative_to(root)))
            rows.append(_row(path.name, line["ClassId"], location, tracked=part == "train"))
    return _check_and_sort(rows, missing, f"the CSV file of {folder}")


def _test_listing(root: Path, folder: Path) -> Sequence[Path]:
    """Find the list of the test classes, which comes in a separate archive."""
    name = "GT-final_test.csv"
    return [path for path in (folder / name, root / name, root.parent / name) if path.is_file()][:1]


def _lines(location: Location, delimiter: str, columns: Sequence[str]) -> Sequence[Mapping[str, str]]:
    try:
        text = location.read().decode("utf-8-sig")
    except (DatasetError, UnicodeDecodeError) as error:
        raise DatasetError(f"{location.name} cannot be read: {error}") from error
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    absent = [column for column in columns if column not in (reader.fieldnames or ())]
    if absent:
        raise DatasetError(f"{location.name} has no column {absent[0]}")
    lines = list(reader)
    for number, line in enumerate(lines, start=2):
        if any(not line[column] for column in columns):
            raise DatasetError(f"{location.name} is truncated: line {number} is incomplete")
    return lines


def _row(name: str, label: str, location: Location, tracked: bool) -> _Row:
    if not label.isascii() or not label.isdigit() or int(label) >= len(LABELS):
        raise DatasetError(f"{name} has the class {label}; expected 0 to {len(LABELS) - 1}")
    stem = Path(name).stem
    track = stem.partition("_")[0]
    if tracked and not track.isdigit():
        raise DatasetError(f"{name} does not name its track; expected <track>_<frame>")
    return _Row(int(label), int(track) if tracked else -1, stem, location)


def _check_and_sort(rows: list[_Row], missing: Sequence[str], listing: str) -> Sequence[_Row]:
    if missing:
        raise DatasetError(
            f"{len(missing):,} of the {len(rows) + len(missing):,} images in {listing} are missing, "
            f"such as {missing[0]}; was the data set downloaded and unpacked completely?"
        )
    if not rows:
        raise DatasetError(f"{listing} lists no images")
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


def _examples(rows: Sequence[_Row], size: Size, image_errors: ImageErrors) -> FileExamples:
    tracks = {pair: number for number, pair in enumerate(sorted({(row.label, row.track) for row in rows}))}
    tracked = rows[0].track >= 0
    return FileExamples(
        [row.location for row in rows],
        np.array([row.label for row in rows], np.int64),
        size,
        image_errors,
        np.array([tracks[row.label, row.track] for row in rows], np.int64) if tracked else None,
    )
