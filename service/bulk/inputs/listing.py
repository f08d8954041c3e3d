"""Lists the files that the arguments name: files, folders, patterns, and a list on standard input."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from io import RawIOBase

from ...errors import ConfigurationError
from .folders import images_below
from .path_list import read_paths
from .patterns import is_pattern, matches
from .source import Skipped, Source

STANDARD_INPUT = "-"


class Listing:
    """The files of the arguments, in the order of the arguments; a file that is named twice is listed twice.

    Args:
        arguments: paths of files and folders, patterns, and `-` for a list of paths on standard input.
        stdin: standard input, unbuffered; None if it is closed.
        null: paths on standard input are separated by NUL characters.

    Raises:
        ConfigurationError: the arguments do not fit together.

    Attributes:
        skipped: the files and folders that the last iteration has left out.
    """

    def __init__(self, arguments: Sequence[str], stdin: RawIOBase | None, *, null: bool) -> None:
        self._arguments = arguments
        self._stdin = stdin
        self._null = null
        self.skipped = Skipped()
        lists = list(arguments).count(STANDARD_INPUT)
        if null and not lists:
            raise ConfigurationError("--null needs the argument -, which reads paths from standard input")
        if lists > 1:
            raise ConfigurationError("standard input can be read only once: give - only once")
        if lists and stdin is None:
            raise ConfigurationError("standard input is closed; - reads paths from it")

    @property
    def is_repeatable(self) -> bool:
        """True if it can be iterated more than once."""
        return STANDARD_INPUT not in self._arguments

    def __iter__(self) -> Iterator[Source]:
        self.skipped = Skipped()
        for argument in self._arguments:
            if argument != STANDARD_INPUT:
                yield from self._named(argument, patterns=True)
                continue
            assert self._stdin is not None  # see __init__
            for path in read_paths(self._stdin, null=self._null):
                yield from self._named(path, patterns=False)

    def count(self) -> Iterator[int]:
        """The number of files so far, for each file; a separate iteration."""
        again = Listing(self._arguments, None, null=False)
        return (number for number, _ in enumerate(again, 1))

    def _named(self, path: str, *, patterns: bool) -> Iterator[Source]:
        if os.path.isdir(path):
            yield from self._below(path)
        elif patterns and is_pattern(path) and not os.path.lexists(path):
            found = False
            for source in matches(path, self.skipped):
                found = True
                yield source
            if not found:
                yield Source(path, "no file matches this pattern")
        else:
            yield Source(path)

    def _below(self, folder: str) -> Iterator[Source]:
        found = False
        for source in images_below(folder, self.skipped):
            found = True
            yield source
        if not found:
            self.skipped.empty_folders += 1
            self.skipped.empty_folder = self.skipped.empty_folder or folder
