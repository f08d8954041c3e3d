"""The common form of the formats of an output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, ClassVar, NamedTuple

from ..rows import Rows

# The names of the formats.
FORMATS: Sequence[str] = ("text", "json", "csv", "parquet")


class SavedRow(NamedTuple):
    """The facts that a row of an earlier run tells.

    Attributes:
        top_k: the classes of the row; None if the row does not tell.
        end: the offset in the file behind the row, or behind rows that were written with it.
    """

    path: str
    model: str
    version: str
    top_k: int | None
    failed: bool
    end: int


class DamagedOutput(Exception):
    """A file that is no output of this format; the text says why."""


class RowFormat(ABC):
    """Encodes rows as bytes that can be appended to each other.

    Args:
        top_k: the classes of each row.
        for_terminal: the rows may be shown by a terminal, which must not take parts of them for commands.

    Attributes:
        rows_at_once: rows that should be encoded together.
        is_resumable: True if `saved` can read what `encode` writes.
        has_errors: True if files that could not be classified have rows.
        is_stream: True if the bytes are the result, such as for standard output; otherwise `complete` makes a
            file of them.
    """

    name: ClassVar[str]
    rows_at_once: ClassVar[int] = 1
    is_resumable: ClassVar[bool] = True
    has_errors: ClassVar[bool] = True
    is_stream: ClassVar[bool] = True

    def __init__(self, top_k: int, *, for_terminal: bool = False) -> None:
        self.top_k = top_k
        self.for_terminal = for_terminal

    def header(self) -> bytes:
        """The bytes before the first row."""
        return b""

    @abstractmethod
    def encode(self, rows: Sequence[Rows]) -> bytes:
        """The rows as bytes."""

    @classmethod
    @abstractmethod
    def saved(cls, file: BinaryIO) -> Iterator[SavedRow]:
        """The complete rows of a file; an incomplete one at the end is left out.

        Raises:
            DamagedOutput: the file is of another format.
        """

    def complete(self, partial: Path, target: Path) -> None:
        """Write the file `target` from the encoded rows in `partial`; only if `is_stream` is False."""
        raise NotImplementedError

    @classmethod
    def reopen(cls, target: Path, partial: Path) -> None:
        """Write the encoded rows of the file `target` to `partial`; only if `is_stream` is False."""
        raise NotImplementedError
