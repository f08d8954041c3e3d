"""Rows as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO, ClassVar

from ...system.printable import printable
from ..rows import Rows
from .row_format import RowFormat, SavedRow


class TextRows(RowFormat):
    """A line for each classified file: `path: label (probability), …`. Errors have no line."""

    name: ClassVar[str] = "text"
    is_resumable: ClassVar[bool] = False
    has_errors: ClassVar[bool] = False

    def encode(self, rows: Sequence[Rows]) -> bytes:
        lines = (line for each in rows for line in _lines(each))
        return "".join(lines).encode()

    @classmethod
    def saved(cls, file: BinaryIO) -> Iterator[SavedRow]:
        raise NotImplementedError  # paths cannot be told from labels


def _lines(rows: Rows) -> Iterator[str]:
    found = rows.predictions
    for path, labels, values in zip(rows.paths, found.labels, found.probabilities, strict=True):
        if labels:
            ranked = (f"{label} ({value:.2%})" for label, value in zip(labels, values, strict=True))
            yield printable(f"{path}: {', '.join(ranked)}") + "\n"
