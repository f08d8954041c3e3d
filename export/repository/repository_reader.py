"""A published version, read back from the model repository."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ManifestError, PublishError
from .manifest import (
    GOLDEN_FILE,
    GRAPH_FILE,
    MANIFEST_FILE,
    Calibration,
    Evaluation,
    Example,
    InputSpec,
    Manifest,
    OutputSpec,
    Parity,
    Quantization,
    Training,
)

_PARTS = {
    "example": Example,
    "training": Training,
    "evaluation": Evaluation,
    "parity": Parity,
    "calibration": Calibration,
    "quantization": Quantization,
}


@dataclass(frozen=True, eq=False)
class Published:
    """`graph` is the ONNX file, `golden_inputs` the pictures whose answers were published with it."""

    folder: Path
    version: str
    manifest: Manifest
    graph: bytes
    golden_inputs: NDArray[Any]


def read(models: Path, name: str, version: str | None = None) -> Published:
    """A version of `name`; without a number the highest that is not quantised.

    Raises:
        PublishError: there is none, it cannot be read, or its graph is not the one that was published.
        ManifestError: its manifest is not of the format.
    """
    if version is not None:
        return _read(models / name / version)
    for folder in _versions(models, name):
        if _document(folder).get("quantization") is None:
            return _read(folder)
    raise PublishError(f"every version of {name} in {models} is quantised already")


def _versions(models: Path, name: str) -> list[Path]:
    """The folders of all versions, highest first."""
    try:
        entries = [entry for entry in (models / name).iterdir() if entry.name.isdigit()]
    except OSError as error:
        raise PublishError(f"there is no model {name} in {models}: {error.strerror}") from error
    if not entries:
        raise PublishError(f"there is no version of {name} in {models}")
    return sorted(entries, key=lambda entry: int(entry.name), reverse=True)


def _read(folder: Path) -> Published:
    document = _document(folder)
    try:
        manifest = _manifest(document)
        expected = document["onnx"]["sha256"]
    except (KeyError, TypeError) as error:
        raise ManifestError(f"{folder / MANIFEST_FILE} is not of the format: {error}") from error
    try:
        graph = (folder / GRAPH_FILE).read_bytes()
        with np.load(folder / GOLDEN_FILE, allow_pickle=False) as arrays:
            golden = arrays["inputs"]
    except Exception as error:  # zipfile, zlib and numpy each raise their own on a damaged archive
        raise PublishError(f"{folder} cannot be read: {error}") from error
    if hashlib.sha256(graph).hexdigest() != expected:
        raise PublishError(f"{folder / GRAPH_FILE} is not the file that was published")
    return Published(folder, folder.name, manifest, graph, golden)


def _document(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads((folder / MANIFEST_FILE).read_bytes())
    except OSError as error:
        raise PublishError(f"{folder / MANIFEST_FILE} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ManifestError(f"{folder / MANIFEST_FILE} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise ManifestError(f"{folder / MANIFEST_FILE} is not of the format: it is no object")
    return document


def _manifest(document: Mapping[str, Any]) -> Manifest:
    parts = {
        name: None if document.get(name) is None else kind(**_frozen(document[name]))
        for name, kind in _PARTS.items()
    }
    return Manifest(
        name=document["name"],
        description=document["description"],
        input=InputSpec(**_frozen(document["input"])),
        output=OutputSpec(**document["output"]),
        labels=tuple(document["labels"]),
        max_batch_size=document["max_batch_size"],
        opset=document["onnx"]["opset"],
        parameters=document["onnx"]["parameters"],
        tolerance=document["golden"]["tolerance"],
        weights=document.get("weights", "trained"),
        rewrites=tuple(document.get("rewrites", ())),
        **parts,
    )


def _frozen(fields: Mapping[str, Any]) -> dict[str, Any]:
    """With tuples for lists, as the fields of a frozen class are."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
