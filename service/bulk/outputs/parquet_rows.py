"""Rows as Parquet. Needs the extra `convserve[parquet]`."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from ...errors import ConfigurationError
from ..rows import Predictions, Rows
from .row_format import DamagedOutput, RowFormat, SavedRow

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise ConfigurationError(
        "--format parquet needs pyarrow, which is not installed: pip install 'convserve[parquet]'"
    ) from error

# The attributes of `Predictions` with the classes of each file.
_CLASS_COLUMNS = ("labels", "indices", "probabilities")

# Rows of a row group: readers load one as a whole.
GROUP_ROWS = 1 << 16

# A Parquet file cannot be read without its end, so unfinished rows are blocks of Arrow's stream format.
# Before each are this mark and the number of its bytes.
_MARK = b"CLASSIFY"
_BLOCK = struct.Struct("<8sQ")


class ParquetRows(RowFormat):
    """A table with a row for each file; the column `top_k` has all classes if there are several."""

    name: ClassVar[str] = "parquet"
    rows_at_once: ClassVar[int] = 4096
    is_stream: ClassVar[bool] = False

    @property
    def schema(self) -> Any:
        """The columns; those of a class are null for a file that could not be classified."""
        one = [("label", pa.string()), ("index", pa.int32()), ("probability", pa.float32())]
        text = [(name, pa.string()) for name in ("path", "model", "version")]
        several = [("top_k", pa.list_(pa.struct(one)))] if self.top_k > 1 else []
        return pa.schema([*text, *one, *several, ("error", pa.string())])

    def encode(self, rows: Sequence[Rows]) -> bytes:
        found = [each.predictions for each in rows]
        counts = [len(each) for each in rows]
        columns: list[Iterable[Any]] = [
            chain.from_iterable(each.paths for each in rows),
            chain.from_iterable(map(repeat, (each.model for each in found), counts)),
            chain.from_iterable(map(repeat, (each.version for each in found), counts)),
            *(map(_first, chain.from_iterable(map(attrgetter(name), found))) for name in _CLASS_COLUMNS),
            chain.from_iterable(map(_errors, found, counts)),
        ]
        if self.top_k > 1:
            columns.insert(-1, chain.from_iterable(map(_top_k, found)))
        schema = self.schema
        arrays = [pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)]
        return _block(pa.RecordBatch.from_arrays(arrays, schema=schema))

    @classmethod
    def saved(cls, file: BinaryIO) -> Iterator[SavedRow]:
        for table, end in _blocks(file):
            yield from _saved(table, end)

    def complete(self, partial: Path, target: Path) -> None:
        with partial.open("rb") as file:
            tables = (table for table, _ in _blocks(file))
            _write(target, self.schema, tables)

    @classmethod
    def reopen(cls, target: Path, partial: Path) -> None:
        try:
            with pq.ParquetFile(target) as source, partial.open("wb") as file:
                for batch in source.iter_batches(GROUP_ROWS):
                    file.write(_block(batch))
        except pa.ArrowException as error:
            raise DamagedOutput("it is no Parquet file") from error


def _block(batch: Any) -> bytes:
    """The rows of a batch as bytes that can be appended to others."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return _BLOCK.pack(_MARK, len(content)) + content


def _first(values: Sequence[Any]) -> Any:
    return values[0] if values else None


def _errors(found: Predictions, count: int) -> Iterator[str | None]:
    return map(found.errors.get, range(count))


def _top_k(found: Predictions) -> Iterator[list[dict[str, Any]] | None]:
    for labels, indices, probabilities in zip(found.labels, found.indices, found.probabilities, strict=True):
        ranked = zip(labels, indices, probabilities, strict=True)
        classes = [{"label": label, "index": index, "probability": value} for label, index, value in ranked]
        yield classes or None


def _blocks(file: BinaryIO) -> Iterator[tuple[Any, int]]:
    """The tables that were appended to a file, and the offset behind each."""
    end = 0
    while len(head := file.read(_BLOCK.size)) == _BLOCK.size:
        mark, length = _BLOCK.unpack(head)
        if mark != _MARK:
            raise DamagedOutput("it does not consist of rows of this command")
        block = file.read(length)
        if len(block) < length:
            return
        end += _BLOCK.size + length
        try:
            yield pa.ipc.open_stream(block).read_all(), end
        except pa.ArrowException as error:
            raise DamagedOutput("its rows are damaged") from error


def _saved(table: Any, end: int) -> Iterator[SavedRow]:
    try:
        paths, models, versions, errors = (
            table.column(name).to_pylist() for name in ("path", "model", "version", "error")
        )
        lists = table.column("top_k").to_pylist() if "top_k" in table.column_names else [[None]] * len(paths)
    except KeyError as error:
        raise DamagedOutput("it has other columns than the rows of this command") from error
    for path, model, version, top_k, failure in zip(paths, models, versions, lists, errors, strict=True):
        failed = failure is not None
        yield SavedRow(path, model, version, None if failed else len(top_k), failed, end)


def _write(target: Path, schema: Any, tables: Iterable[Any]) -> None:
    """Write the tables in row groups of equal size, whatever the sizes of the tables."""
    waiting = schema.empty_table()
    with pq.ParquetWriter(target, schema) as writer:
        for table in tables:
            waiting = pa.concat_tables([waiting, table])
            while len(waiting) >= GROUP_ROWS:
                writer.write_table(waiting.slice(0, GROUP_ROWS))
                waiting = waiting.slice(GROUP_ROWS)
        if len(waiting):
            writer.write_table(waiting)
