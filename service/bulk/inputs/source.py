"""One named file, and what a listing leaves out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


class Source(NamedTuple):
    """A file to classify, or a place where none can be read.

    Attributes:
        problem: the reason why there is nothing to read.
    """

    path: str
    problem: str | None = None


@dataclass(slots=True)
class Skipped:
    """The files and folders that a listing leaves out.

    Attributes:
        other_files: files in folders without the suffix of an image format.
        loops: links to a folder that contains them.
        empty_folders: the number of named folders without an image.
        empty_folder: the first of them.
    """

    other_files: int = 0
    loops: int = 0
    empty_folders: int = 0
    empty_folder: str | None = field(default=None)

    def notes(self) -> Iterator[str]:
        """One sentence about each kind."""
        if self.empty_folder is not None:
            more = self.empty_folders - 1
            others = f" (and {more:,} other folder{_s(more)})" if more else ""
            yield f"{self.empty_folder}{others} contains no images"
        if self.other_files:
            files = f"{self.other_files:,} file{_s(self.other_files)}"
            yield (
                f"skipped {files} without the suffix of an image format; "
                "a file that is named itself is classified whatever its suffix"
            )
        if self.loops:
            yield f"skipped {self.loops:,} link{_s(self.loops)} to a folder that contains the link"


def reason(error: OSError) -> str:
    """The words of the operating system for an error."""
    return error.strerror or str(error)


def joined(folder: str, name: str) -> str:
    """The path of an entry; a path that begins without a folder stays so."""
    return os.path.join(folder, name) if folder else name


def _s(count: int) -> str:
    return "" if count == 1 else "s"
