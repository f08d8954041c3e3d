"""Compares the labels of a new version with those of the version before.

A request that names no version gets the highest one, so a model of other classes would answer the clients of
the version before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import ManifestError, PublishError
from .repository_reader import read_labels, version_folders


def check_labels(models: Path, name: str, labels: Sequence[str], *, replace: bool) -> None:
    """Check that a new version of `name` has the labels of the highest one that can be read.

    Args:
        models: the model repository.
        name: the model.
        labels: the labels of the new version.
        replace: accept other labels.

    Raises:
        PublishError: the labels differ.
    """
    if replace or not (models / name).is_dir():
        return
    for folder in version_folders(models, name):
        try:
            before = read_labels(folder)
        except (ManifestError, PublishError):  # the server does not serve it either
            continue
        if list(before) != list(labels):
            raise PublishError(
                f"{folder} has {_described(before)}, the new version would have {_described(labels)} and "
                "take its place; choose another --name, or pass --replace-labels"
            )
        return


def _described(labels: Sequence[str]) -> str:
    first = ", ".join(label[:40] for label in labels[:3])
    return f"{len(labels):,} labels ({first}{', …' if len(labels) > 3 else ''})"
