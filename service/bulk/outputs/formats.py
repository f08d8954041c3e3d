"""Chooses the format and the destination of an output."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from ...errors import ConfigurationError
from ..inputs.source import reason
from .csv_rows import CsvRows
from .destination import Destination, FileDestination, StreamDestination
from .json_rows import JsonRows
from .row_format import FORMATS, RowFormat
from .text_rows import TextRows

STANDARD_OUTPUT = "-"

_SUFFIXES: Mapping[str, str] = MappingProxyType(
    {
        ".csv": "csv",
        ".json": "json",
        ".jsonl": "json",
        ".ndjson": "json",
        ".parquet": "parquet",
        ".pq": "parquet",
        ".txt": "text",
    }
)


def choose_format(name: str | None, output: str | None) -> type[RowFormat]:
    """The format of this name; without a name that of the suffix of the output, or text.

    Raises:
        ConfigurationError: the suffix is of no format, or the format needs a library that is not installed.
    """
    if name is None and output not in (None, STANDARD_OUTPUT):
        suffix = Path(str(output)).suffix.lower()
        if suffix not in _SUFFIXES:
            raise ConfigurationError(
                f"the suffix of {output} is of no format: give --format {{{','.join(FORMATS)}}}"
            )
        name = _SUFFIXES[suffix]
    if name == "parquet":
        from .parquet_rows import ParquetRows  # needs an extra

        return ParquetRows
    return {"csv": CsvRows, "json": JsonRows}.get(name or "text", TextRows)


def open_destination(output: str | None, kind: type[RowFormat], *, resume: bool) -> Destination:
    """Standard output if `output` is None or `-`, otherwise a file.

    Raises:
        ConfigurationError: it cannot be written, or does not fit the format or `resume`.
    """
    if resume and output in (None, STANDARD_OUTPUT):
        raise ConfigurationError("--resume needs -o FILE: standard output cannot be resumed")
    if resume and not kind.is_resumable:
        raise ConfigurationError(
            "--resume needs --format json, csv or parquet: text does not tell which files are done"
        )
    if output in (None, STANDARD_OUTPUT):
        _check_stream(kind, "standard output")
        if sys.stdout is None:
            raise ConfigurationError("standard output is closed; -o FILE writes to a file")
        return StreamDestination(sys.stdout.buffer, "standard output", kind)
    path = Path(str(output))
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder; -o needs the name of a file")
    if not path.exists() or path.is_file():
        return FileDestination(path, kind, resume=resume)
    if resume:
        raise ConfigurationError(f"--resume needs a regular file, which {path} is not")
    _check_stream(kind, str(path))
    try:
        return StreamDestination(open(path, "wb", buffering=0), str(path), kind)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {reason(error)}") from error


def _check_stream(kind: type[RowFormat], name: str) -> None:
    if not kind.is_stream:
        raise ConfigurationError(f"--format {kind.name} needs -o FILE, a regular file, in place of {name}")


def is_terminal(stream: object) -> bool:
    """True if the stream is open and a terminal."""
    try:
        return os.isatty(stream.fileno())  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False
