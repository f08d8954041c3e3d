"""Reads published versions from the model repository."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import ManifestError, PublishError
from .manifest import (
    CARD_FILE,
    GOLDEN_FILE,
    GRAPH_FILE,
    MANIFEST_FILE,
    Calibration,
    Evaluation,
    Example,
    Features,
    GoldenRecord,
    InputSpec,
    Inspect,
    Manifest,
    OutputSpec,
    Parity,
    Quantization,
    TrainingRecord,
    Variant,
)
from .publish import MAX_GOLDEN_BYTES

MAX_GRAPH_BYTES: Final = 2 << 30
MAX_MANIFEST_BYTES: Final = 4 << 20

_GOLDEN_ARRAYS: Final = ("inputs", "outputs")

_SECTIONS = {
    "example": Example,
    "training": TrainingRecord,
    "evaluation": Evaluation,
    "parity": Parity,
    "calibration": Calibration,
    "quantization": Quantization,
    "inspect": Inspect,
    "features": Features,
}


@dataclass(frozen=True, eq=False)
class PublishedVersion:
    """A version in the model repository.

    Attributes:
        folder: its folder.
        version: its number.
        manifest: its manifest.
        graph: the ONNX file.
        golden_inputs: the inputs of the golden outputs, batch first.
        golden_outputs: the golden outputs, batch first.
    """

    folder: Path
    version: str
    manifest: Manifest
    graph: bytes
    golden_inputs: NDArray[Any]
    golden_outputs: NDArray[np.float32]

    def files(self) -> Mapping[str, bytes]:
        """Return the contents of the other files, such as pictures, by name; without the model card.

        Raises:
            PublishError: a file cannot be read.
        """
        own = {GRAPH_FILE, GOLDEN_FILE, MANIFEST_FILE, CARD_FILE}
        try:
            return {
                path.name: _read_file(path, MAX_GRAPH_BYTES)
                for path in sorted(self.folder.iterdir())
                if path.name not in own and not path.name.startswith(".")
            }
        except OSError as error:
            raise PublishError(f"{self.folder} cannot be read: {error.strerror or error}") from error


def read_version(models: Path, name: str, version: str | None = None) -> PublishedVersion:
    """Read a version of `name`; None for the highest one that is not quantized.

    Raises:
        PublishError: the version does not exist or cannot be read, or a digest does not match.
        ManifestError: its manifest is invalid.
    """
    if version is not None:
        return _read(models / name / version)
    folders = version_folders(models, name)
    if not folders:
        raise PublishError(f"model {name} in {models} has no version")
    for folder in folders:
        if _document(folder).get("quantization") is None:
            return _read(folder)
    raise PublishError(f"all versions of {name} in {models} are quantized")


def version_folders(models: Path, name: str) -> list[Path]:
    """Return the folders of all versions of `name`, highest first.

    Raises:
        PublishError: the folder of the model cannot be read.
    """
    try:
        entries = [
            entry for entry in (models / name).iterdir() if entry.name.isascii() and entry.name.isdigit()
        ]
    except OSError as error:
        raise PublishError(f"cannot read model {name} in {models}: {error.strerror}") from error
    return sorted(entries, key=lambda entry: int(entry.name), reverse=True)


def read_labels(folder: Path) -> tuple[str, ...]:
    """Return the labels of a version.

    Raises:
        PublishError: its manifest cannot be read.
        ManifestError: its manifest is invalid.
    """
    labels = _document(folder).get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ManifestError(f"{folder / MANIFEST_FILE} does not match the manifest format: labels")
    return tuple(labels)


def _read(folder: Path) -> PublishedVersion:
    document = _document(folder)
    try:
        manifest = _manifest(document)
        digests = {each["name"]: each["sha256"] for each in document.get("files", ())}
        digests.setdefault(GRAPH_FILE, document["onnx"]["sha256"])
    except (KeyError, TypeError) as error:
        raise ManifestError(
            f"{folder / MANIFEST_FILE} does not match the manifest format: {error}"
        ) from error
    try:
        graph = _read_published(folder / GRAPH_FILE, MAX_GRAPH_BYTES, digests)
        golden = _read_published(folder / GOLDEN_FILE, 2 * MAX_GOLDEN_BYTES, digests)
        inputs, outputs = _read_golden(golden)
    except PublishError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise many types for a damaged archive
        raise PublishError(f"{folder} cannot be read: {error}") from error
    return PublishedVersion(folder, folder.name, manifest, graph, inputs, outputs)


def _read_published(path: Path, max_bytes: int, digests: Mapping[str, str]) -> bytes:
    """Return the content of a file after comparing it with its digest; format 1 has none of golden data."""
    content = _read_file(path, max_bytes)
    if path.name in digests and hashlib.sha256(content).hexdigest() != digests[path.name]:
        raise PublishError(f"{path} does not have the digest of its manifest")
    return content


def _read_file(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file: a FIFO would block, and a device never end."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    if status.st_size > max_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {max_bytes:,} bytes")
    return path.read_bytes()


def _read_golden(content: bytes) -> tuple[NDArray[Any], NDArray[np.float32]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(archive.getinfo(f"{name}.npy").file_size for name in _GOLDEN_ARRAYS)
    if size > MAX_GOLDEN_BYTES:  # a megabyte of the archive can inflate to a gigabyte
        raise ValueError(f"the golden arrays inflate to {size:,} bytes, more than {MAX_GOLDEN_BYTES:,}")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        inputs, outputs = (arrays[name] for name in _GOLDEN_ARRAYS)
    return inputs, outputs


def _document(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads(_read_file(folder / MANIFEST_FILE, MAX_MANIFEST_BYTES))
    except OSError as error:
        raise PublishError(f"{folder / MANIFEST_FILE} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{folder / MANIFEST_FILE} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ManifestError(
            f"{folder / MANIFEST_FILE} does not match the manifest format: expected an object"
        )
    return document


def _manifest(document: Mapping[str, Any]) -> Manifest:
    parts = {
        name: None if document.get(name) is None else kind(**_frozen(document[name]))
        for name, kind in _SECTIONS.items()
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
        variants=tuple(map(_variant, document.get("variants", ()))),
        **parts,
    )


def _variant(fields: Mapping[str, Any]) -> Variant:
    evaluation = fields.get("evaluation")
    parts = {
        "golden": GoldenRecord(**fields["golden"]),
        "evaluation": None if evaluation is None else Evaluation(**_frozen(evaluation)),
    }
    return Variant(**{**fields, **parts})


def _frozen(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Replace lists by tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
