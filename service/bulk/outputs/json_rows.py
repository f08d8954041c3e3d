"""Rows as JSON Lines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, ClassVar

from ..rows import Rows
from .row_format import DamagedOutput, RowFormat, SavedRow


class JsonRows(RowFormat):
    """An object for each file, one a line, in ASCII: control characters are escaped."""

    name: ClassVar[str] = "json"

    def encode(self, rows: Sequence[Rows]) -> bytes:
        encode = json.JSONEncoder().encode
        lines = (encode(row) for each in rows for row in _objects(each, several=self.top_k > 1))
        return "".join(f"{line}\n" for line in lines).encode()

    @classmethod
    def saved(cls, file: BinaryIO) -> Iterator[SavedRow]:
        end = 0
        for line in file:
            end += len(line)
            if not line.endswith(b"\n"):
                return
            try:
                row = json.loads(line)
                top_k = None if "error" in row else len(row.get("top_k", (row["label"],)))
                yield SavedRow(row["path"], row["model"], row["version"], top_k, "error" in row, end)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise DamagedOutput("it is no list of JSON objects with path, model and version") from error


def _objects(rows: Rows, *, several: bool) -> Iterator[dict[str, Any]]:
    found = rows.predictions
    columns = zip(rows.paths, found.labels, found.indices, found.probabilities, strict=True)
    for position, (path, labels, indices, probabilities) in enumerate(columns):
        row: dict[str, Any] = {"path": path, "model": found.model, "version": found.version}
        if labels:
            top_k = [
                {"label": label, "index": index, "probability": _number(probability)}
                for label, index, probability in zip(labels, indices, probabilities, strict=True)
            ]
            row |= top_k[0]
            if several:
                row["top_k"] = top_k
        else:
            row["error"] = found.errors[position]
        yield row


def _number(probability: float) -> float | None:
    return None if math.isnan(probability) else probability  # JSON has no NaN
