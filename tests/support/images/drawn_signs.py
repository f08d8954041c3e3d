"""Synthetic traffic signs in the formats of GTSRB and of image folders, for tests."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.datasets import synthetic_images

# Classes of GTSRB with different shapes and colours.
CLASSES = (14, 17, 12)

_SHAPES = ("octagon", "disc", "diamond")
_COLOURS = ((190, 20, 30), (20, 70, 160), (240, 200, 30))


def sign(kind: int, number: int, side: int) -> NDArray[np.uint8]:
    """Draw an image of the class `kind`; `number` seeds the background."""
    random = np.random.default_rng([kind, number])
    background = (*random.integers(20, 220, 3).tolist(),)
    return synthetic_images.sign(_COLOURS[kind], _SHAPES[kind], (235, 235, 235), "dot", background, side)


def png(kind: int, number: int, side: int) -> bytes:
    return synthetic_images.png(sign(kind, number, side))


def write_folders(folder: Path, train: int = 12, test: int = 3) -> None:
    """Write train/<label>/ and test/<label>/ with images of various sizes; no test/ for `test=0`."""
    for part, count, first in (("train", train, 0), ("test", test, 1000)):
        for kind, label in enumerate(("stop", "no entry", "priority")[: len(CLASSES)]):
            for number in range(count):
                path = folder / part / label / f"{number:03}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(png(kind, first + number, 40 + 3 * number))


def write_packed(folder: Path, tracks: int = 3, frames: int = 4, test: int = 2) -> None:
    """Write train.tar and test.tar in the packed format."""
    for part, rows in (("train", list(_training(tracks, frames))), ("test", list(_testing(test)))):
        lines = ["path,width,height,roi_x1,roi_y1,roi_x2,roi_y2,class_id"]
        with tarfile.open(folder / f"{part}.tar", "w") as archive:
            for name, kind, number in rows:
                side = 30 + number % 20
                path = f"{part}/{CLASSES[kind]:02}/{name}.png"
                _add(archive, path, png(kind, number, side))
                lines.append(f"{path},{side},{side},5,5,{side - 5},{side - 5},{CLASSES[kind]}")
            _add(archive, f"{part}.csv", "\r\n".join(lines).encode())


def write_original(folder: Path, tracks: int = 3, frames: int = 4, test: int = 2) -> None:
    """Write the same images in the original format of the benchmark."""
    header = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"
    images = folder / "Final_Training" / "Images"
    listings: dict[Path, list[str]] = {}
    for name, kind, number in _training(tracks, frames):
        home = images / f"{CLASSES[kind]:05}"
        listings.setdefault(home / f"GT-{home.name}.csv", [header]).append(_line(home, name, kind, number))
    home = folder / "Final_Test" / "Images"
    for name, kind, number in _testing(test):
        listings.setdefault(home / "GT-final_test.csv", [header]).append(_line(home, name, kind, number))
    for path, lines in listings.items():
        path.write_text("\n".join(lines) + "\n")


def _line(home: Path, name: str, kind: int, number: int) -> str:
    home.mkdir(parents=True, exist_ok=True)
    side = 30 + number % 20
    Image.fromarray(sign(kind, number, side)).save(home / f"{name}.ppm")
    return f"{name}.ppm;{side};{side};5;5;{side - 5};{side - 5};{CLASSES[kind]}"


def _training(tracks: int, frames: int) -> Iterator[tuple[str, int, int]]:
    for kind in range(len(CLASSES)):
        for track in range(tracks):
            for frame in range(frames):
                yield f"{track:05}_{frame:05}", kind, 100 * track + frame


def _testing(count: int) -> Iterator[tuple[str, int, int]]:
    for number in range(count * len(CLASSES)):
        yield f"{number:05}", number % len(CLASSES), 1000 + number


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
