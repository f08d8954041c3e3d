"""Reads the labels of the classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..errors import ManifestError


def read_labels(path: Path) -> tuple[str, ...]:
    """Read a text file with one label per line; a byte order mark and empty lines at the end are ignored.

    Raises:
        ManifestError: the file cannot be read, is not UTF-8, or has an empty line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not UTF-8: {error}") from error
    labels = tuple(line.strip() for line in lines)
    while labels and not labels[-1]:
        labels = labels[:-1]
    if not all(labels):
        raise ManifestError(f"{path}, line {labels.index('') + 1}: empty line; expected one label per line")
    return labels


def describe_duplicates(labels: Sequence[str]) -> str | None:
    """Return one sentence about labels that occur more than once, or None."""
    repeated = [(label, count) for label, count in Counter(labels).items() if count > 1]
    if not repeated:
        return None
    label, count = repeated[0]
    more = f", and {len(repeated) - 1:,} more labels occur several times" if len(repeated) > 1 else ""
    return (
        f"the label {label!r} stands for {count} classes{more}: responses tell them apart by their index, "
        "except TorchServe's, which keeps the most probable class of a label"
    )


def check_count(labels: Sequence[str], classes: int, path: Path | None) -> None:
    """Check that there is one label for each class; one unit may have two labels.

    Raises:
        ManifestError: their numbers differ.
    """
    if len(labels) == classes or (classes == 1 and len(labels) == 2):
        return
    where = f"{path} has {len(labels):,} labels" if path else f"{len(labels):,} labels are known"
    if len(labels) < classes:
        advice = f"add {classes - len(labels):,}, one per line in the order of the output"
    elif classes == 1:
        advice = "a single score takes one label or two, of which the second is the one that it scores"
    else:
        advice = f"remove {len(labels) - classes:,}"
    raise ManifestError(
        f"the graph has {classes:,} {'class' if classes == 1 else 'classes'}, but {where}: {advice}"
    )
