"""Expands glob patterns as shells do, in order and with bounded memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import translate
from itertools import groupby

from .folders import images_below, visits
from .sorted_entries import sorted_entries
from .source import Skipped, Source, joined, reason

_MAGIC = re.compile(r"[*?[]")
_ANY_DEPTH = "**"


def is_pattern(path: str) -> bool:
    """True if the path contains `*`, `?` or `[`."""
    return _MAGIC.search(path) is not None


def matches(pattern: str, skipped: Skipped) -> Iterator[Source]:
    """The files that a pattern matches, and the images below the folders that it matches.

    `**` stands for any number of folders. Names that begin with a dot are matched only by patterns that begin
    with one.
    """
    root = "/" if pattern.startswith("/") else ""
    parts = [part for part in pattern.split("/") if part]
    # Several `**` in a row mean the same as one.
    once = [part for part, same in groupby(parts) for part in ((part,) if part == _ANY_DEPTH else same)]
    yield from _matches(root, once, skipped)


def _matches(folder: str, parts: Sequence[str], skipped: Skipped) -> Iterator[Source]:
    """The files below `folder` that match the parts."""
    part, *rest = parts
    if part == _ANY_DEPTH:
        yield from _at_any_depth(folder, rest, skipped)
    elif is_pattern(part):
        yield from _among_entries(folder, part, rest, skipped)
    else:
        yield from _continued(joined(folder, part), rest, skipped)


def _at_any_depth(folder: str, rest: Sequence[str], skipped: Skipped) -> Iterator[Source]:
    if not rest:
        yield from images_below(folder or os.curdir, skipped)
        return
    for path, is_folder, problem in visits(folder, skipped):
        if problem is not None:
            yield Source(path, problem)
        elif is_folder:
            yield from _matches(path, rest, skipped)


def _among_entries(folder: str, part: str, rest: Sequence[str], skipped: Skipped) -> Iterator[Source]:
    fits = re.compile(translate(part)).match
    try:
        for name, is_folder in sorted_entries(folder):
            visible = part.startswith(".") or not name.startswith(".")
            if visible and fits(name) and (is_folder or not rest):
                yield from _continued(joined(folder, name), rest, skipped)
    except OSError as error:
        yield Source(folder, reason(error))


def _continued(path: str, rest: Sequence[str], skipped: Skipped) -> Iterator[Source]:
    """The files at or below a path that has matched so far."""
    if os.path.isdir(path):
        yield from _matches(path, rest, skipped) if rest else images_below(path, skipped)
    elif not rest and os.path.lexists(path):
        yield Source(path)
