"""Reads a list of paths from a stream."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from io import RawIOBase

from ...errors import ConfigurationError
from .source import reason

# Longer than any path that the operating system opens.
MAX_PATH_BYTES = 1 << 14
_READ_BYTES = 1 << 16


def read_paths(stream: RawIOBase, *, null: bool) -> Iterator[str]:
    """The paths of a list, one a line or separated by NUL characters; empty ones are left out.

    A byte order mark at the start and a carriage return at the end of a line are left out too.

    Args:
        null: the separator is NUL, so that paths may contain line breaks.

    Raises:
        ConfigurationError: the stream is no list of paths.
    """
    separator = b"\0" if null else b"\n"
    rest = b""
    count = 0
    while block := _read(stream):
        *paths, rest = (rest + block).split(separator)
        for path in paths:
            count += 1
            if text := _path(path, count, null=null):
                yield text
        if len(rest) > MAX_PATH_BYTES:
            _path(rest, count + 1, null=null)
    if text := _path(rest, count + 1, null=null):
        yield text


def _read(stream: RawIOBase) -> bytes:
    try:
        return stream.read(_READ_BYTES) or b""
    except OSError as error:
        raise ConfigurationError(f"standard input cannot be read: {reason(error)}") from error


def _path(line: bytes, number: int, *, null: bool) -> str:
    if number == 1:
        line = line.removeprefix(codecs.BOM_UTF8)
    if not null:
        line = line.removesuffix(b"\r")
        if b"\0" in line:
            raise ConfigurationError(
                f"line {number:,} of standard input contains a NUL character: "
                "--null reads a list that NUL characters separate, and an image is read from a file"
            )
    if len(line) > MAX_PATH_BYTES:
        raise ConfigurationError(
            f"path {number:,} of standard input has more than {MAX_PATH_BYTES:,} bytes: "
            "is it a list of paths, one a line?"
        )
    return os.fsdecode(line)
