"""Finds the images below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from .sorted_entries import Entry, sorted_entries
from .source import Skipped, Source, joined, reason

# Files with other suffixes, such as README and labels.csv, are no images. A file with one of these that
# cannot be decoded is reported.
IMAGE_SUFFIXES = frozenset(
    (
        "avif",
        "bmp",
        "dib",
        "gif",
        "heic",
        "heif",
        "hif",
        "jfif",
        "jpe",
        "jpeg",
        "jpg",
        "pbm",
        "pgm",
        "png",
        "pnm",
        "ppm",
        "tif",
        "tiff",
        "webp",
    )
)


class Visit(NamedTuple):
    """A file or a folder below a folder.

    Attributes:
        problem: the reason why the folder cannot be read.
    """

    path: str
    is_folder: bool
    problem: str | None = None


class _Level(NamedTuple):
    """A folder that is being read; `identity` tells whether a link leads back to it."""

    path: str
    prefix: str
    identity: tuple[int, int]
    entries: Iterator[Entry]


def images_below(folder: str, skipped: Skipped) -> Iterator[Source]:
    """The images in a folder and in all folders below it, sorted by path.

    Hidden files and folders, whose names begin with a dot, are left out. Links to folders are followed unless
    they lead back to a folder that contains them. A folder that cannot be read is a source with a problem.
    """
    for path, is_folder, problem in visits(folder, skipped):
        if problem is not None:
            yield Source(path, problem)
        elif is_folder:
            continue
        elif is_image(path):
            yield Source(path)
        else:
            skipped.other_files += 1


def is_image(path: str) -> bool:
    """True if the name has the suffix of an image format."""
    return path.rpartition(".")[2].lower() in IMAGE_SUFFIXES


def visits(folder: str, skipped: Skipped) -> Iterator[Visit]:
    """The folder, and all files and folders below it that are not hidden; a folder comes before its files.

    Not recursive, because the depth of a tree has no limit.
    """
    levels: list[_Level] = []
    yield from _enter(folder, levels, skipped)
    while levels:
        level = levels[-1]
        try:
            entry = next(level.entries, None)
        except OSError as error:
            yield Visit(level.path, True, reason(error))
            entry = None
        if entry is None:
            levels.pop()
            continue
        name, is_folder = entry
        if name[0] == ".":
            continue
        if is_folder:
            yield from _enter(level.prefix + name, levels, skipped)
        else:
            yield Visit(level.prefix + name, False)


def _enter(folder: str, levels: list[_Level], skipped: Skipped) -> Iterator[Visit]:
    """Visit the folder and add a level for it."""
    try:
        status = os.stat(folder or os.curdir)
    except OSError as error:
        yield Visit(folder, True, reason(error))
        return
    identity = status.st_dev, status.st_ino
    if any(level.identity == identity for level in levels):
        skipped.loops += 1
        return
    yield Visit(folder, True)
    levels.append(_Level(folder, joined(folder, ""), identity, sorted_entries(folder)))
