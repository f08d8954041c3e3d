"""Rows as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, BinaryIO, ClassVar

from ...system.printable import printable
from ..rows import Rows
from .row_format import DamagedOutput, RowFormat, SavedRow

_BEFORE = ("path", "model", "version")
_CLASS = ("label", "index", "probability")

MAX_RECORD_BYTES = 16 << 20


class CsvRows(RowFormat):
    """A header, and a row for each file: UTF-8, with commas and quotes where they are needed.

    The second class has the columns `label_2`, `index_2` and `probability_2`, and so on.
    """

    name: ClassVar[str] = "csv"

    def header(self) -> bytes:
        return _written([_columns(self.top_k)])

    def encode(self, rows: Sequence[Rows]) -> bytes:
        return _written(chain.from_iterable(map(self._rows, rows)))

    def _rows(self, rows: Rows) -> Iterator[Sequence[Any]]:
        found = rows.predictions
        columns = zip(rows.paths, found.labels, found.indices, found.probabilities, strict=True)
        for position, (path, labels, indices, probabilities) in enumerate(columns):
            classes = chain.from_iterable(zip(labels, indices, probabilities, strict=True))
            missing = ("",) * (len(_CLASS) * (self.top_k - len(labels)))
            row = (path, found.model, found.version, *classes, *missing, found.errors.get(position, ""))
            yield [printable(str(field)) for field in row] if self.for_terminal else row

    @classmethod
    def saved(cls, file: BinaryIO) -> Iterator[SavedRow]:
        records = _records(file)
        header, _ = next(records, ([], 0))
        top_k = (len(header) - len(_BEFORE) - 1) // len(_CLASS)
        if not header:
            return
        if top_k < 1 or header != list(_columns(top_k)):
            raise DamagedOutput("its first line is not the header of this command")
        for record, end in records:
            if len(record) != len(header):
                raise DamagedOutput(f"a row has {len(record)} fields in place of {len(header)}")
            yield SavedRow(record[0], record[1], record[2], top_k, record[-1] != "", end)


def _columns(top_k: int) -> Sequence[str]:
    more = (f"{name}_{place}" for place in range(2, top_k + 1) for name in _CLASS)
    return (*_BEFORE, *_CLASS, *more, "error")


def _written(rows: Iterator[Sequence[Any]] | Sequence[Sequence[Any]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode()


def _records(file: BinaryIO) -> Iterator[tuple[list[str], int]]:
    """The complete records, and the offset behind each; a record has several lines if a field has."""
    pending = b""
    end = 0
    for line in file:
        end += len(line)
        pending += line
        if not line.endswith(b"\n"):
            return
        if pending.count(b'"') % 2:
            if len(pending) > MAX_RECORD_BYTES:
                raise DamagedOutput(f"a row has more than {MAX_RECORD_BYTES:,} bytes")
            continue  # a quoted field goes on in the next line
        try:
            (record,) = csv.reader(io.StringIO(pending.decode(), newline=""))
        except (ValueError, csv.Error) as error:
            raise DamagedOutput("a row is no CSV in UTF-8") from error
        yield record, end
        pending = b""
