"""Reads the learning curves of a training with Keras."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from ..errors import ManifestError
from ..training.checkpoint import Curves

_EXPECTED: Final = (
    "expected the dictionary history.history of Keras as JSON, or the CSV file of its CSVLogger, with a loss "
    "and an accuracy of each epoch"
)
_VALIDATION: Final = "val_"

# What reading a file of another format raises.
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    StopIteration,
    RecursionError,
    csv.Error,
)


def read_history(path: Path) -> Curves:
    """Read the loss and the accuracy of each epoch, and those on validation images if there are any.

    The accuracy is the first metric whose name contains "acc".

    Raises:
        ManifestError: the file cannot be read, or is in another format.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not UTF-8; {_EXPECTED}") from error
    try:
        columns = _from_json(text) if text.lstrip().startswith("{") else _from_csv(text)
        accuracy = next(name for name in columns if "acc" in name and not name.startswith(_VALIDATION))
        curves = Curves(
            tuple(columns["loss"]),
            tuple(columns[accuracy]),
            tuple(columns.get(f"{_VALIDATION}loss", ())),
            tuple(columns.get(f"{_VALIDATION}{accuracy}", ())),
        )
    except _UNREADABLE as error:
        raise ManifestError(f"{path} has no learning curves; {_EXPECTED}") from error
    lengths = {len(values) for values in (curves.loss, curves.accuracy)}
    lengths |= {len(values) for values in (curves.validation_loss, curves.validation_accuracy) if values}
    finite = all(math.isfinite(value) for values in asdict(curves).values() for value in values)
    if not finite or not all(0 <= value <= 1 for value in (*curves.accuracy, *curves.validation_accuracy)):
        raise ManifestError(f"{path} has a loss that is not finite, or an accuracy that is not from 0 to 1")
    if lengths == {0} or len(lengths) > 1:
        raise ManifestError(f"{path} has learning curves of {sorted(lengths)} epochs; {_EXPECTED}")
    return curves


def _from_json(text: str) -> Mapping[str, Sequence[float]]:
    return {name: [float(value) for value in values] for name, values in json.loads(text).items()}


def _from_csv(text: str) -> Mapping[str, Sequence[float]]:
    rows = list(csv.DictReader(io.StringIO(text)))
    return {name: [float(row[name]) for row in rows] for name in rows[0]} if rows else {}
