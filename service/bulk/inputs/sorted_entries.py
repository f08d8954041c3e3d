"""Lists a folder of any size in order, with bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from heapq import merge
from itertools import islice
from tempfile import TemporaryFile
from typing import IO, NamedTuple

# Names that are sorted in memory; about 13 MB. A larger folder is sorted with temporary files.
RUN_NAMES = 1 << 17
_READ_BYTES = 1 << 13  # of each of hundreds of files


class Entry(NamedTuple):
    """A file or a folder; a link is what it points to."""

    name: str
    is_folder: bool


def sorted_entries(folder: str, *, run_names: int = RUN_NAMES) -> Iterator[Entry]:
    """The entries of a folder, sorted so that the paths of all files in a tree are sorted.

    Args:
        run_names: the names that are sorted in memory.

    Raises:
        OSError: the folder cannot be read, or its names do not fit the folder of temporary files.
    """
    with os.scandir(folder or os.curdir) as entries:
        marked = map(_marked, entries)
        first = sorted(islice(marked, run_names))
        if len(first) < run_names:
            yield from map(_entry, first)
            return
        with ExitStack() as stack:
            runs = [stack.enter_context(_spilled(first))]
            first.clear()
            while run := sorted(islice(marked, run_names)):
                runs.append(stack.enter_context(_spilled(run)))
                run.clear()
            yield from map(_entry, merge(*map(_read, runs)))


def _marked(entry: os.DirEntry[str]) -> str:
    """The name, with a slash at the end of a folder's: `a.png` comes before the files of `a/`."""
    try:
        is_folder = entry.is_dir()
    except OSError:  # a link to itself, for example; reading it tells the reason
        is_folder = False
    return f"{entry.name}/" if is_folder else entry.name


def _entry(marked: str) -> Entry:
    return Entry(marked[:-1], True) if marked.endswith("/") else Entry(marked, False)


def _spilled(names: Iterable[str]) -> IO[bytes]:
    file = TemporaryFile()  # noqa: SIM115
    try:
        file.writelines(os.fsencode(name) + b"\0" for name in names)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _read(file: IO[bytes]) -> Iterator[str]:
    rest = b""
    while block := file.read(_READ_BYTES):
        *names, rest = (rest + block).split(b"\0")
        yield from map(os.fsdecode, names)
